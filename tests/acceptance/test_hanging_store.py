"""A database that doesn't answer: requests get their answers all the same, and nothing is lost or done twice."""

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

pytestmark = [pytest.mark.promise(1), pytest.mark.rule(38)]

LIMIT = 5.0
"""Seconds after which a request is answered although the store doesn't answer."""
SLACK = 1.5
"""Seconds more that a slow machine may take."""


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


class Requests:
    """Requests that are sent at once, each in a thread."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._threads: list[threading.Thread] = []
        self.answers: list[tuple[object, int, float]] = []
        """The body (a path for a GET), the status, and the seconds that the answer took."""

    def post(self, body: object) -> None:
        self._go(body, lambda: self._server.post("f", body)[0])

    def get(self, path: str) -> None:
        self._go(path, lambda: self._server.get(path)[0])

    def _go(self, name: object, ask: Callable[[], int]) -> None:
        def run() -> None:
            begun = time.monotonic()
            self.answers.append((name, ask(), time.monotonic() - begun))

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()


def _ready_again(server: ServerProcess) -> None:
    eventually("the server is ready again", lambda: server.get("/readyz")[0] == 200, 40)


def assert_each_once(server: ServerProcess, sink: Sink, accepted: list[object]) -> None:
    """All accepted messages ended, none twice; others may have been stored too, although their sender got a 503."""
    eventually("everything has ended", server.drained, 30)
    assert {execution["state"] for execution in server.executions()} == {"succeeded"}
    sent = [received.body for received in sink.received]
    assert len(sink.received) == len(sink.keys), "an action ran twice"
    assert len(sent) == len(set(map(str, sent))), "a message ran twice"
    assert {str(body) for body in accepted} <= {str(body) for body in sent}


def test_a_frozen_postgresql_makes_503_and_nothing_is_lost(
    postgres: OwnPostgres, server: ServerProcess, sink: Sink
) -> None:
    accepted: list[object] = list(range(20))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    requests = Requests(server)
    with postgres.frozen():
        for n in range(100, 130):
            requests.post(n)
        for path in ("/readyz", "/api/v1/executions", "/metrics", "/healthz"):
            requests.get(path)
        requests.wait()
    slowest = max(seconds for _, _, seconds in requests.answers)
    assert slowest < LIMIT + SLACK, requests.answers
    statuses = {name: status for name, status, _ in requests.answers}
    assert {statuses[n] for n in range(100, 130)} == {503}
    assert (statuses["/readyz"], statuses["/api/v1/executions"]) == (503, 503)
    assert (statuses["/metrics"], statuses["/healthz"]) == (200, 200)
    _ready_again(server)
    assert server.post("f", 200)[0] == 202, server.log()
    assert_each_once(server, sink, [*accepted, 200])
    assert_logged_once(server)


def assert_logged_once(server: ServerProcess) -> None:
    ended = "the store can be used again"
    server.eventually("the end of the problem is logged", lambda: ended in server.log(), 20)
    log = server.log()
    assert log.count("the store can't be used") == log.count(ended) == 1, log


def test_a_locked_table_makes_503_and_what_was_running_ends_once(
    postgres: OwnPostgres, server: ServerProcess, sink: Sink, schema: str
) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    server.eventually("they run", lambda: len(sink.received) == 10)
    requests = Requests(server)
    with postgres.locked(f'"{schema}".executions'):
        for n in range(100, 110):
            requests.post(n)
        requests.get("/readyz")
        requests.wait()
    assert {status for _, status, _ in requests.answers} == {503}, requests.answers
    assert max(seconds for _, _, seconds in requests.answers) < LIMIT + SLACK, requests.answers
    sink.delay = 0.0
    _ready_again(server)
    assert_each_once(server, sink, accepted)
    assert_logged_once(server)


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
    requests = Requests(server)
    for n in range(100, 110):
        requests.post(n)
    requests.get("/readyz")
    requests.wait()
    shell.close()
    assert {status for _, status, _ in requests.answers} == {503}, requests.answers
    assert max(seconds for _, _, seconds in requests.answers) < LIMIT + SLACK, requests.answers
    sink.delay = 0.0
    _ready_again(server)
    assert_each_once(server, sink, accepted)
    assert_logged_once(server)
    assert "database is locked" in server.log()


@pytest.mark.long
def test_a_server_stops_in_time_while_postgresql_is_frozen(
    postgres: OwnPostgres, server: ServerProcess, sink: Sink
) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    server.eventually("they run", lambda: len(sink.received) == 10)
    with postgres.frozen():
        begun = time.monotonic()
        server.stop()
        took = time.monotonic() - begun
    assert took < 45, "the grace period, and a few limits of the store"
    sink.delay = 0.0
    server.start()
    eventually("everything has ended", server.drained, 30)
    assert {received.body for received in sink.received} == set(accepted)
    assert len(sink.keys) == 10
