"""PostgreSQL fails over to its synchronous standby under a server that runs: nothing that was accepted is lost."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.acceptance.standby_postgres import Standby, primary_and_standby, url_of
from tests.acceptance.test_hanging_store import assert_each_once, assert_logged_once, sending

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.postgres,
    pytest.mark.promise(1),
    pytest.mark.rule(38),
]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[OwnPostgres, Standby]]:
    with primary_and_standby(tmp_path) as made:
        yield made


class Senders:
    """Threads that send messages, one after the other, until they are told to stop."""

    def __init__(self, server: ServerProcess, count: int) -> None:
        self._server = server
        self._bodies = itertools.count()
        self._stopped = Event()
        self.accepted: list[object] = []
        self.other: list[tuple[int, str | None]] = []
        """The status and the `Retry-After` of each message that wasn't accepted."""
        self.unstored: list[object] = []
        """The messages whose answers say that they aren't stored."""
        self._pool = ThreadPoolExecutor(count)
        self._threads = [self._pool.submit(self._send) for _ in range(count)]

    def _send(self) -> None:
        while not self._stopped.is_set():
            body = next(self._bodies)
            status, answer, headers = self._server.request(
                "POST", "/hook/f", str(body).encode(), {"Content-Type": "application/json"}
            )
            if status == 202:
                self.accepted.append(body)
            else:
                if answer["code"] != "request.possibly_stored":
                    self.unstored.append(body)
                self.other.append((status, {name.lower(): text for name, text in headers.items()}.get("retry-after")))

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.result(timeout=60)


def test_nothing_is_lost_when_the_standby_takes_over(
    servers: tuple[OwnPostgres, Standby], sink: Sink, make_server: Callable[..., ServerProcess]
) -> None:
    primary, standby = servers
    server = make_server(environment={"HOOKLINE_DB": url_of(primary, standby)})
    server.flow(sending(sink))
    server.start()
    sink.delay = 0.5
    senders = Senders(server, 8)
    eventually("messages were accepted", lambda: len(senders.accepted) >= 50)
    primary.kill()
    eventually("messages get other answers", lambda: len(senders.other) >= 20)
    assert [server.get(path)[0] for path in ("/readyz", "/healthz")] == [503, 200]
    accepted_before = len(senders.accepted)
    standby.promote()
    eventually("messages are accepted again", lambda: len(senders.accepted) >= accepted_before + 50, 60)
    senders.stop()
    sink.delay = 0.0
    assert {status for status, _ in senders.other} == {503}
    assert all(after is not None and int(after) > 0 for _, after in senders.other)
    assert_each_once(server, sink, senders.accepted, senders.unstored)
    assert_logged_once(server)


def test_a_server_starts_on_whichever_host_is_the_primary(
    servers: tuple[OwnPostgres, Standby], sink: Sink, make_server: Callable[..., ServerProcess]
) -> None:
    primary, standby = servers
    server = make_server(environment={"HOOKLINE_DB": url_of(standby, primary)})
    server.flow(sending(sink))
    server.start()
    assert server.post("f", 1)[0] == 202
    eventually("everything has ended", server.drained)
    server.stop()
    primary.kill()
    standby.promote()
    server.start()
    assert [execution["state"] for execution in server.executions()] == ["succeeded"]
