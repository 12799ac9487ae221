"""`hookline serve --workers`: several processes behind one address, over real HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.acceptance.database import query
from tests.acceptance.load import Load
from tests.acceptance.postgres import POSTGRES, postgres_schema
from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.acceptance.server_process import eventually as within
from tests.acceptance.sink import Sink
from tests.acceptance.stopping_senders import FLOW, REQUEST, check_stop
from tests.frozen_processes import frozen
from tests.integration.served_hook import read_response, status
from tests.metric_samples import samples

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

PATIENCE = 120.0
"""Seconds in which a process starts on a busy machine."""


eventually = partial(within, seconds=PATIENCE)


class Workers(ServerProcess):
    """A server of several processes."""

    def start(self, seconds: float = PATIENCE) -> None:
        """Start it and wait until it says that all of its workers are ready."""
        # An earlier start has said the same.
        (self.folder / "server.log").unlink(missing_ok=True)
        self.launch()
        self.eventually("the server says that it is ready", lambda: '"workers":' in self.log(), seconds)

    def eventually(self, what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something holds; fail at once, and show the log, if the server ends before."""
        super().eventually(what, holds, seconds)

    def said(self) -> dict[str, Any]:
        """What it printed when it was ready."""
        lines = [line for line in self.log().splitlines() if line.startswith('{"url"')]
        assert len(lines) == 1, lines
        said: dict[str, Any] = json.loads(lines[0])
        return said

    def pids(self) -> list[int]:
        """The workers that run."""
        return [child.pid for child in psutil.Process(self.pid).children() if _runs(child)]

    def connections(self) -> Counter[int]:
        """The numbers of open connections, by worker."""
        return Counter(
            {
                pid: sum(
                    one.status == psutil.CONN_ESTABLISHED and one.laddr.port == self.port
                    for one in psutil.Process(pid).net_connections("tcp")
                )
                for pid in self.pids()
            }
        )

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """The samples of `/metrics`, by name and by the values of their labels, `node` first."""
        request = Request(f"{self.said()['admin_url']}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(request, timeout=PATIENCE) as response:
            text = response.read().decode()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for (name, marks), value in samples(text).items():
            labels = dict(marks)
            key = (labels.pop("node"), *(labels[label] for label in sorted(labels)))
            found.setdefault(name, {})[key] = value
        return found


MakeWorkers = Callable[..., Workers]


@contextlib.contextmanager
def making_workers(folder: Path) -> Iterator[MakeWorkers]:
    """Makes a server of two workers, over a schema of its own."""
    with contextlib.ExitStack() as stack:
        made: list[Workers] = []

        def make(*options: str, workers: int = 2, **variables: str) -> Workers:
            database = stack.enter_context(postgres_schema())
            environment = {"HOOKLINE_DB": database, "HOOKLINE_NODE_NAME": "here", **variables}
            server = Workers(folder, "--workers", str(workers), "--json", *options, environment=environment)
            server.flow(FLOW)
            made.append(server)
            return server

        yield make
        for server in made:
            if server.running:
                orphans = [psutil.Process(pid) for pid in server.pids()]
                server.kill()
                log = server.folder / "server.log"
                eventually(f"the workers have ended ({log})", lambda: not any(map(_runs, orphans)))  # noqa: B023


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def make_workers(tmp_path: Path) -> Iterator[MakeWorkers]:
    with making_workers(tmp_path) as make:
        yield make


def calling(sink: Sink) -> dict[str, Any]:
    """A flow that calls a sink."""
    step = {
        "id": "tell",
        "use": "http.request",
        "with": {"method": "POST", "url": "$.vars.sink", "json": {"n": "$.trigger.body.n"}},
        "retry": {"attempts": 10, "wait": "100ms"},
    }
    return {**FLOW, "id": "tell", "vars": {"sink": sink.url}, "steps": [step]}


@pytest.fixture(scope="module", params=["hypercorn", pytest.param("uvicorn", marks=pytest.mark.long)])
def kind(request: pytest.FixtureRequest) -> str:
    """The setting `server`."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def shared_sink(kind: str) -> Iterator[Sink]:
    sink = Sink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture(scope="module")
def made(kind: str, tmp_path_factory: pytest.TempPathFactory, shared_sink: Sink) -> Iterator[Workers]:
    with making_workers(tmp_path_factory.mktemp(kind)) as make:
        server = make("--server", kind, "--admin-bind", "127.0.0.1:0")
        server.flow(calling(shared_sink))
        yield server


@pytest.fixture
def shared(made: Workers) -> Workers:
    """A server that tests share, since a start takes seconds. It has another address for the admin API."""
    if not made.running:
        made.start()
    return made


async def connect(port: int, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(count)))


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    writer.write(REQUEST)
    async with asyncio.timeout(PATIENCE):
        head, _ = await read_response(reader)
    return status(head)


@pytest.mark.cluster_rule("C16")
def test_connections_are_shared_out_fairly(shared: Workers) -> None:
    async def scenario() -> None:
        connections = await connect(shared.port, 64)
        assert Counter([await ask(*one) for one in connections]) == {202: 64}
        shares = shared.connections()
        assert sum(shares.values()) == 64
        assert max(shares.values()) <= 0.6 * 64, shares
        for _, writer in connections:
            writer.close()

    asyncio.run(scenario())


@pytest.mark.cluster_rule("C16")
def test_metrics_cover_all_workers(shared: Workers) -> None:
    def accepted() -> Counter[str]:
        return Counter({node: int(count) for (node, _), count in shared.metrics()["hookline_accepted_total"].items()})

    before = accepted()

    async def send() -> None:
        connections = await connect(shared.port, 16)
        assert Counter([await ask(*one) for one in connections]) == {202: 16}
        for _, writer in connections:
            writer.close()

    asyncio.run(send())
    sent = accepted()
    assert set(sent) == {"here-1", "here-2"}
    assert sent.total() - before.total() == 16
    still, asked = shared.pids()
    with frozen([psutil.Process(still)]):
        left_out = shared.metrics()
    (node,) = {node for node, _ in left_out["hookline_accepted_total"]}
    assert left_out["hookline_workers_left_out_total"] == {(node,): 1.0}
    eventually("both are there again", lambda: len(shared.metrics()["hookline_accepted_total"]) == 2)
    assert asked in shared.pids()


@pytest.mark.cluster_rule("C16")
def test_workers_are_announced_once_and_share_both_addresses(shared: Workers) -> None:
    said = shared.said()
    workers = shared.pids()
    assert (said["pid"], sorted(said["workers"])) == (shared.pid, sorted(workers))
    assert len(workers) == 2
    admin = said["admin_url"]
    assert said["url"] == shared.url != admin
    announced = json.loads((shared.folder / ".hookline" / "server.json").read_text())
    assert (announced["pid"], announced["url"]) == (shared.pid, admin)
    assert shared.run("flows", "list", "--json").exit_code == 0
    assert shared.get("/api/v1/flows")[0] == 404
    # The parent serves nothing, and has imported nothing that serves.
    assert shared.memory() < psutil.Process(workers[0]).memory_full_info().uss / 2


@pytest.mark.cluster_rule("C5", "C16")
def test_a_killed_worker_is_replaced_and_nothing_accepted_is_lost(shared: Workers, shared_sink: Sink) -> None:
    first = set(shared.pids())
    load = Load(shared, "/hook/tell", pause=0.005)
    load.start()
    eventually("messages are accepted", lambda: len(load.accepted) > 50)
    killed = first.pop()
    os.kill(killed, signal.SIGKILL)
    accepted = len(load.accepted)
    eventually("the other worker accepts", lambda: len(load.accepted) > accepted + 50)
    eventually("there is another worker", lambda: len(set(shared.pids()) - {killed}) == 2)
    (other,) = set(shared.pids()) - first

    async def shares() -> Counter[int]:
        connections = await connect(shared.port, 8)
        found = shared.connections()
        for _, writer in connections:
            writer.close()
        return found

    eventually("it accepts connections", lambda: asyncio.run(shares())[other] > 0)
    load.stop()
    assert (load.not_connected, load.rejected) == (0, [])
    assert "a worker ended; starting it again" in shared.log()
    eventually("all messages ran", lambda: {one.body["n"] for one in shared_sink.received} >= set(load.accepted))


@pytest.mark.cluster_rule("C16")
def test_workers_end_with_their_parent(shared: Workers) -> None:
    workers, admin = shared.pids(), shared.said()["admin_url"]
    assert shared.stop() == 0
    assert not any(map(psutil.pid_exists, workers))
    assert not (shared.folder / ".hookline" / "server.json").exists()
    for url in (shared.url, admin):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


@pytest.mark.long
@pytest.mark.cluster_rule("C16")
def test_no_connection_is_lost_while_all_workers_are_gone(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    for pid in server.pids():
        os.kill(pid, signal.SIGKILL)

    async def send() -> int:
        # The parent holds the socket, so that the system takes the connection.
        ((reader, writer),) = await connect(server.port, 1)
        code = await ask(reader, writer)
        writer.close()
        return code

    assert asyncio.run(send()) == 202


@pytest.mark.long
def test_a_stop_of_workers_under_load_resets_no_connection_and_keeps_none_waiting(
    make_workers: MakeWorkers, kind: str
) -> None:
    server = make_workers("--server", kind, "--drain-delay", "0.5")
    server.start()
    check_stop(server, senders=10, rejected=50)


@pytest.mark.long
def test_a_worker_that_stands_still_keeps_no_connection_waiting(make_workers: MakeWorkers, kind: str) -> None:
    server = make_workers("--server", kind)
    server.start()
    still = server.pids()[0]

    async def scenario() -> None:
        with frozen([psutil.Process(still)]):
            connections = await connect(server.port, 32)
            assert Counter(await asyncio.gather(*(ask(*one) for one in connections))) == {202: 32}
        assert server.connections()[still] == 0
        # Now it is its turn.
        for _ in range(24):
            connections += await connect(server.port, 1)
            assert await ask(*connections[-1]) == 202
        assert Counter(await asyncio.gather(*(ask(*one) for one in connections))) == {202: 56}
        assert server.connections()[still] >= 20
        for _, writer in connections:
            writer.close()

    asyncio.run(scenario())


@pytest.mark.long
def test_workers_whose_parent_was_killed_stop_in_order(make_workers: MakeWorkers) -> None:
    server = make_workers("--drain-delay", "0.5")
    server.start()
    workers = server.pids()
    server.kill()
    eventually("the workers have ended", lambda: not any(map(psutil.pid_exists, workers)))
    assert server.log().count("the process that started this worker is gone; stopping") == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


@pytest.mark.long
def test_a_second_signal_stops_all_workers_at_once(make_workers: MakeWorkers) -> None:
    server = make_workers("--drain-delay", "60")
    server.start()
    workers = server.pids()
    os.kill(server.pid, signal.SIGINT)
    eventually("no worker is ready", lambda: {server.get("/readyz")[0] for _ in range(4)} == {503})
    # What a supervisor sends to all processes itself is no second signal.
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    assert server.post("f", {})[0] == 202
    os.kill(server.pid, signal.SIGTERM)
    assert server.died(20) == 1
    assert not any(map(psutil.pid_exists, workers))


@pytest.mark.long
def test_a_signal_to_one_worker_ends_only_that_one(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    one, other = server.pids()
    load = Load(server, "/hook/f", pause=0.005)
    load.start()
    os.kill(one, signal.SIGTERM)
    eventually("there is another worker", lambda: one not in server.pids() and len(server.pids()) == 2)
    accepted = len(load.accepted)
    eventually("messages are accepted", lambda: len(load.accepted) > accepted + 50)
    load.stop()
    assert (load.not_connected, load.rejected) == (0, [])
    assert other in server.pids()
    assert server.stop() == 0


@pytest.mark.long
@pytest.mark.cluster_rule("C16")
def test_sighup_reloads_every_worker(make_workers: MakeWorkers, tmp_path: Path) -> None:
    server = make_workers("--log-format", "json")
    server.start()
    (tmp_path / "hookline.toml").write_text('log_level = "debug"\n')
    os.kill(server.pid, signal.SIGHUP)

    def reloaded() -> set[str]:
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        return {line["node"] for line in lines if line.get("event") == "reloaded"}

    server.eventually("every worker has reloaded", lambda: reloaded() == {"here-1", "here-2"})
    assert server.stop() == 0


@pytest.mark.long
def test_workers_that_cannot_start_end_their_parent_with_their_error(make_workers: MakeWorkers) -> None:
    server = make_workers(HOOKLINE_DB=f"{POSTGRES.rpartition('/')[0]}/nothing")
    server.launch()
    assert server.died(PATIENCE) == 1
    assert server.log().count('"error"') == 1, server.log()
    assert not (server.folder / ".hookline" / "server.json").exists()


@pytest.mark.long
@pytest.mark.cluster_rule("C18")
def test_workers_of_a_release_that_the_tables_no_longer_allow_end_their_parent(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    # As a migration of that release does.
    database = server.environment()["HOOKLINE_DB"]
    query(database, "UPDATE cluster SET oldest_release = '99.0.0'")
    query(database, "UPDATE nodes SET gone_at = until WHERE gone_at IS NULL")
    assert server.died(PATIENCE) == 2
    assert "need Hookline 99.0.0 or newer" in server.log()
    assert "no worker can be started; stopping" in server.log()
    assert not (server.folder / ".hookline" / "server.json").exists()


@pytest.mark.long
def test_a_worker_that_dies_again_and_again_is_started_less_and_less_often(
    make_workers: MakeWorkers,
) -> None:
    server = make_workers("--log-format", "json")
    server.start()
    (server.folder / "hookline.toml").write_text('server = "nothing"\n')
    os.kill(server.pids()[0], signal.SIGKILL)

    def waits() -> list[float]:
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith('{"')]
        return [line["wait"] for line in lines if line.get("event") == "a worker ended; starting it again"]

    server.eventually("it has died four times", lambda: len(waits()) >= 4)
    assert waits()[:4] == [0.0, 0.5, 1.0, 2.0]
    assert server.post("f", {})[0] == 202
    (server.folder / "hookline.toml").unlink()
    server.eventually("both workers run", lambda: len(server.metrics()["hookline_log_lines_dropped_total"]) == 2)
    assert server.stop() == 0
