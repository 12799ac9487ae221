"""A database that doesn't answer: requests get their answers all the same, and nothing is lost or done twice."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

pytestmark = [pytest.mark.promise(1), pytest.mark.rule(38)]


def sending(sink: Sink) -> dict[str, object]:
    """The flow `f`, which sends its messages on."""
    step = {"id": "send", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}
    return {"id": "f", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [step]}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    with OwnPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def schema(postgres: OwnPostgres, tmp_path: Path) -> Iterator[str]:
    name = re.sub(r"\W", "_", tmp_path.name)[:40]
    yield name
    postgres.run(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
def server(postgres: OwnPostgres, schema: str, sink: Sink, make_server: Callable[..., ServerProcess]) -> ServerProcess:
    server = make_server(environment={"HOOKLINE_DB": f"{postgres.url}?schema={schema}"})
    server.flow(sending(sink))
    server.start()
    return server


def assert_503(server: ServerProcess, bodies: Iterable[object], *paths: str) -> list[object]:
    """All messages and all requests for pages that are sent at once get 503, while the store goes on to hang. Those
    of messages say when to send it again. Return the messages whose answers say that they aren't stored."""
    unstored: list[object] = []

    def sent(body: object) -> tuple[int, bool]:
        kind = {"Content-Type": "application/json"}
        status, answer, headers = server.request("POST", "/hook/f", str(body).encode(), kind)
        code = answer["code"]
        assert code in ("request.unavailable", "request.possibly_stored"), answer
        if code == "request.unavailable":
            unstored.append(body)
        return status, "retry-after" in {name.lower() for name in headers}

    with ThreadPoolExecutor(100) as threads:
        # The pages are asked for first: once a commit is in doubt, queries are held back, so none would reach the
        # database that hangs.
        asked = threads.map(lambda path: server.get(path)[0], ("/readyz", *paths))
        answers = list(threads.map(sent, bodies))
        pages = list(asked)
    assert set(answers) == {(503, True)}, answers
    assert set(pages) == {503}, pages
    return unstored


def assert_each_once(
    server: ServerProcess, sink: Sink, accepted: list[object], unstored: list[object], *, repeated: bool = False
) -> None:
    """All accepted messages ended, none twice; others may be stored too, if their senders were told so.

    `repeated`: an action whose result could not be stored in time may be called again, with the same key.
    """
    eventually("everything has ended", server.drained, 30)
    assert {execution["state"] for execution in server.executions()} == {"succeeded"}
    sent = [received.body for received in sink.received]
    assert repeated or len(sink.received) == len(sink.keys), "an action ran twice"
    assert len(sink.keys) == len(set(map(str, sent))), "a message ran twice"
    assert {str(body) for body in accepted} <= {str(body) for body in sent}
    assert not {str(body) for body in unstored} & {str(body) for body in sent}, (
        "their senders were told that they aren't"
    )


def test_a_frozen_postgresql_makes_503_and_nothing_is_lost(
    postgres: OwnPostgres, server: ServerProcess, sink: Sink
) -> None:
    accepted: list[object] = list(range(20))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    with postgres.frozen():
        unstored = assert_503(server, range(100, 130), "/api/v1/executions")
        assert [server.get(path)[0] for path in ("/metrics", "/healthz")] == [200, 200]
        server.eventually("the problem is logged while it lasts", lambda: "the store can't be used" in server.log(), 5)
    eventually("the server is ready again", server.is_ready, 40)
    assert server.post("f", 200)[0] == 202, server.log()
    # The server ends the transaction of a session that it hasn't heard of for some seconds.
    assert_each_once(server, sink, [*accepted, 200], unstored, repeated=True)
    assert_logged_once(server)


def assert_logged_once(server: ServerProcess) -> None:
    ended = "the store can be used again"
    server.eventually("the end of the problem is logged", lambda: ended in server.log(), 20)
    log = server.log()
    assert log.count("the store can't be used") == log.count(ended) == 1, log
    # Whatever their words are: no line for each message that was rejected.
    told = [line for line in log.splitlines() if "[error" in line or "[warning" in line]
    assert len(told) < 10, log


def test_a_locked_table_makes_503_and_what_was_running_ends_once(
    postgres: OwnPostgres, server: ServerProcess, sink: Sink, schema: str
) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    server.eventually("they run", lambda: len(sink.received) == 10)
    with postgres.locked(f'"{schema}".executions'):
        unstored = assert_503(server, range(100, 110))
    sink.delay = 0.0
    eventually("the server is ready again", server.is_ready, 40)
    assert_each_once(server, sink, accepted, unstored)
    assert_logged_once(server)


@pytest.mark.long
def test_a_sqlite_file_that_another_program_locks_makes_503_until_it_is_free(
    sink: Sink, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server()
    server.flow(sending(sink))
    server.start()
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    shell = sqlite3.connect(server.folder / ".hookline" / "hookline.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as thread:
        # The later ones wait behind the first, and are given up just before the lock is free.
        first = thread.submit(assert_503, server, range(100, 110))
        time.sleep(2)
        unstored = assert_503(server, range(110, 120)) + first.result()
    shell.close()
    assert sorted(map(str, unstored)) == [str(n) for n in range(100, 120)]
    sink.delay = 0.0
    eventually("the server is ready again", server.is_ready, 40)
    assert_each_once(server, sink, accepted, unstored)
    assert_logged_once(server)
    assert "database is locked" in server.log()


@pytest.mark.long
def test_a_server_stops_while_postgresql_is_frozen(postgres: OwnPostgres, server: ServerProcess, sink: Sink) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    server.eventually("they run", lambda: len(sink.received) == 10)
    with postgres.frozen():
        server.stop()
    sink.delay = 0.0
    server.start()
    eventually("everything has ended", server.drained, 30)
    assert {received.body for received in sink.received} == set(accepted)
    assert len(sink.keys) == 10
