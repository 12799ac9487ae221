"""A server with a JetStream stream in front of its PostgreSQL: outages of both, kills at each point, duplicates."""

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.own_nats import OwnNats, url_of

MakeServer = Callable[..., ServerProcess]
LARGE = 400_000

# A PostgreSQL and a NATS server are started for them, which takes long on a busy machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    """Each test has a database of its own there."""
    with OwnPostgres(tmp_path_factory.mktemp("postgres")) as started:
        yield started


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnNats]:
    """Each test has a stream of its own there."""
    with OwnNats(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture
def database(postgres: OwnPostgres) -> str:
    """The URL of a database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.run(f"CREATE DATABASE {name}")
    return postgres.database(name)


@pytest.fixture
def stream(nats_server: OwnNats) -> str:
    """The name of a stream, which isn't there yet."""
    return f"s{uuid.uuid4().hex[:12]}"


@pytest.fixture
def queue(nats_server: OwnNats, stream: str) -> str:
    """The URL of the stream."""
    return url_of([nats_server], f"?replicas=1&max_bytes=20MB&stream={stream}")


def flow(id_: str, sink: Sink, *, settings: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "trigger": {"use": "webhook", "with": {"verify": "none", **(settings or {})}},
        "steps": [{"id": "call", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}],
        **more,
    }


@pytest.fixture
def server(make_server: MakeServer, database: str, queue: str, sink: Sink) -> ServerProcess:
    made = make_server("--db", database, "--queue", queue)
    made.flow(flow("plain", sink))
    made.flow(flow("keyed", sink, settings={"dedupe_key": "$.body.id"}))
    made.flow(flow("ordered", sink, order_by="$.body.key"))
    made.flow(flow("answering", sink, settings={"respond": "finished", "respond_timeout": "5s"}))
    return made


def accepted(server: ServerProcess, flow_id: str, body: Any) -> str:
    status, answer = server.post(flow_id, body)
    assert status == 202, answer
    id_: str = answer["execution_id"]
    return id_


def succeeded(server: ServerProcess, ids: list[str]) -> None:
    """Each message was inserted, which takes a moment, and its execution has succeeded."""
    for id_ in ids:
        eventually(f"{id_} is inserted", lambda: server.get(f"/api/v1/executions/{id_}")[0] == 200, 60)  # noqa: B023
        assert server.ended(id_, 60)["state"] == "succeeded"


def ran(server: ServerProcess, sink: Sink, ids: list[str]) -> list[Any]:
    """What the executions sent, once all have ended; each ran once."""
    succeeded(server, ids)
    assert len(server.executions()) == len(set(ids))
    assert len(sink.received) == len(sink.keys) == len(ids)
    return [one.body for one in sink.received]


@pytest.mark.cluster_rule("C15")
def test_a_server_that_starts_while_the_stream_is_away_becomes_ready_when_it_is_back(
    make_server: MakeServer, database: str, sink: Sink, tmp_path: Path
) -> None:
    own = OwnNats(tmp_path / "nats")
    server = make_server("--db", database, "--queue", url_of([own], "?replicas=1&max_bytes=20MB"))
    server.flow(flow("plain", sink))
    server.launch()

    def listens() -> bool:
        with contextlib.suppress(OSError):
            return server.get("/healthz")[0] == 200
        return False

    server.eventually("it listens", listens, 60)
    status, answer = server.get("/readyz")
    assert (status, answer["status"]) == (503, "not ready")
    assert "can't be opened" in answer["reason"]
    assert server.post("plain", 1)[0] == 503
    with own:
        server.eventually("it is ready", server.is_ready, 60)
        # Those of the attempts to start are listed as gone.
        assert {node["queue"] for node in server.get("/api/v1/nodes")[1]["items"]} == {"nats:hookline"}
        succeeded(server, [accepted(server, "plain", 1)])
        assert server.stop() == 0


@pytest.mark.cluster_rule("C19", "C20", "C21")
def test_while_the_database_is_down_messages_are_accepted_and_run_afterwards(
    server: ServerProcess, make_server: MakeServer, postgres: OwnPostgres, database: str, sink: Sink
) -> None:
    # The stream doesn't know of this message.
    without = make_server("--db", database)
    without.start()
    before = accepted(without, "keyed", {"id": "before"})
    succeeded(without, [before])
    assert without.stop() == 0
    server.start()
    assert server.post("keyed", {"id": "before"}) == (
        200,
        {"execution_id": before, "flow_id": "keyed", "status": "duplicate"},
    )
    ids = [before]
    with postgres.down():
        for number in range(40):
            ids.append(accepted(server, "plain", {"number": number}))
            ids.append(accepted(server, "ordered", {"key": number % 2, "number": number}))
        ids.append(accepted(server, "plain", {"text": "x" * LARGE}))
        twice = accepted(server, "keyed", {"id": "twice"})
        ids.append(twice)
        for _ in range(2):
            status, answer = server.post("keyed", {"id": "twice"})
            assert (status, answer["execution_id"], answer["status"]) == (200, twice, "duplicate")
        alias = accepted(server, "keyed", {"id": "before"})
        assert alias != before
        status, _, headers = server.request("POST", "/hook/answering", b"1", {"Content-Type": "application/json"})
        assert (status, "retry-after" in headers) == (503, True)
        assert server.get("/readyz")[0] == 200
        assert server.get(f"/api/v1/executions/{before}")[0] == 503
    eventually("the database is back", lambda: server.get(f"/api/v1/executions/{before}")[0] == 200, 60)
    sent = ran(server, sink, ids)
    for key in range(2):
        in_order = [body["number"] for body in sent if body.get("key") == key]
        assert in_order == list(range(key, 40, 2))
    eventually("the alias is kept", lambda: server.get(f"/api/v1/executions/{alias}")[0] == 200)
    assert server.get(f"/api/v1/executions/{alias}")[1]["id"] == before
    assert server.get(f"/api/v1/executions/{alias}/steps")[1]["items"][0]["id"] == "call"
    assert server.post("answering", 1)[0] == 200


@pytest.mark.long
@pytest.mark.cluster_rule("C21")
def test_after_intake_stale_nothing_is_accepted_until_the_database_answers(
    server: ServerProcess, postgres: OwnPostgres
) -> None:
    server.set("HOOKLINE_INTAKE_STALE", "3s")
    server.start()
    with postgres.down():
        accepted(server, "plain", 1)

        def rejected() -> bool:
            status, answer, headers = server.request("POST", "/hook/plain", b"2")
            assert status in (202, 503), answer
            return status == 503 and "retry-after" in headers

        eventually("messages are rejected", rejected)
        assert server.get("/readyz")[0] == 503
    eventually("the server is ready again", server.is_ready, 60)
    accepted(server, "plain", 3)


@pytest.mark.long
@pytest.mark.parametrize(
    "point", ["stream.before_commit", "stream.after_commit", "accept.before_commit", "accept.after_commit"]
)
@pytest.mark.parametrize("flow_id", ["plain", "ordered", "keyed"])
@pytest.mark.cluster_rule("C20")
def test_a_message_runs_once_whenever_the_server_is_killed(
    server: ServerProcess, sink: Sink, point: str, flow_id: str
) -> None:
    server.set("HOOKLINE_FAULT", point)
    server.start()
    ids: list[str] = []
    try:
        status, answer = server.post(flow_id, {"id": 1, "key": 1})
    except OSError:
        status = 0
    if status == 202:
        ids.append(answer["execution_id"])
    assert server.died() < 0
    server.set("HOOKLINE_FAULT", "")
    server.start()
    ids.append(accepted(server, flow_id, {"id": 2, "key": 1}))
    if point == "stream.after_commit":
        # It was in the stream, though its sender has no answer.
        eventually("both messages run", lambda: len(server.executions()) == 2)
        ids = [one["id"] for one in server.executions()]
    sent = ran(server, sink, ids)
    assert [body["id"] for body in sent] == ([2] if point == "stream.before_commit" else [1, 2]) or (
        # Without an order key, the second one needn't wait until the first is given again.
        flow_id != "ordered" and sorted(body["id"] for body in sent) == [1, 2]
    )


def test_without_the_stream_nothing_is_accepted_and_the_server_recovers(
    server: ServerProcess, nats_server: OwnNats, sink: Sink
) -> None:
    server.start()
    ids = [accepted(server, "plain", 1)]
    nats_server.kill()
    status, _, headers = server.request("POST", "/hook/plain", b"2", {"Content-Type": "application/json"})
    assert (status, "retry-after" in headers) == (503, True)
    assert server.get("/readyz")[0] == 503
    nats_server.start()
    eventually("the server is ready again", server.is_ready)
    ids.append(accepted(server, "plain", 3))
    assert ran(server, sink, ids) == [1, 3]


@pytest.mark.long
@pytest.mark.cluster_rule("C19")
def test_a_full_stream_rejects_messages_until_it_has_room(
    server: ServerProcess, postgres: OwnPostgres, sink: Sink
) -> None:
    server.start()
    ids = []
    with postgres.down():
        while True:
            body = json.dumps("x" * 200_000).encode()
            status, answer, headers = server.request("POST", "/hook/plain", body, {"Content-Type": "application/json"})
            if status == 503:
                break
            ids.append(answer["execution_id"])
        assert "retry-after" in headers
        assert 50 < len(ids) < 110
        eventually("the log has the reason", lambda: "is full" in server.log())
    eventually("there is room", lambda: server.post("plain", "x" * 200_000)[0] == 202, 60)
    succeeded(server, ids)


@pytest.mark.cluster_rule("C19")
def test_a_stream_that_was_created_otherwise_is_rejected_at_the_start(
    server: ServerProcess, nats_server: OwnNats, stream: str
) -> None:
    async def create() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream().add_stream(name=stream, subjects=[f"hookline.{stream}.>"], max_age=60)
        await client.close()

    asyncio.run(create())
    server.launch()
    assert server.died(60) == 1
    log = server.log()
    for part in ("retention is limits, not workqueue", "discard is old, not new", "max_age is 60", "nats stream rm"):
        assert part in log


@pytest.mark.long
@pytest.mark.cluster_rule("C20")
def test_what_many_senders_send_at_once_runs_once(server: ServerProcess, sink: Sink) -> None:
    server.start()
    ids: list[str] = []

    def send(sender: int) -> None:
        for number in range(20):
            ids.append(accepted(server, "keyed", {"id": f"{sender}-{number}"}))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(ids) == 160
    ran(server, sink, ids)
