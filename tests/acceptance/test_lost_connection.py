"""A PostgreSQL to which the connection is lost without either side being told, and a server whose host is gone."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.own_network import OwnNetwork, network
from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.acceptance.test_hanging_store import assert_503, assert_each_once, assert_logged_once, sending

__all__ = ["network"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(240), pytest.mark.promise(1), pytest.mark.rule(38)]


@pytest.fixture
def postgres(network: OwnNetwork, tmp_path: Path) -> Iterator[OwnPostgres]:
    network.speak_from(network.here[0])
    with OwnPostgres(tmp_path, network.there, network.prefix) as server:
        yield server


@pytest.fixture
def server(postgres: OwnPostgres, sink: Sink, make_server: Callable[..., ServerProcess]) -> ServerProcess:
    server = make_server(environment={"HOOKLINE_DB": postgres.url})
    server.flow(sending(sink))
    server.start()
    return server


@pytest.mark.parametrize("seconds", [8, 40])
def test_a_postgresql_that_is_cut_off_for_some_time_loses_nothing(
    network: OwnNetwork, server: ServerProcess, sink: Sink, seconds: float
) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    network.cut(network.here[0])
    begun = time.monotonic()
    n, unstored = 100, list[object]()
    while time.monotonic() < begun + seconds:
        unstored += assert_503(server, range(n, n + 20))
        n += 20
    network.restore(network.here[0])
    sink.delay = 0.0
    eventually("the server is ready again", server.is_ready, 60)
    assert server.post("f", "after")[0] == 202
    assert_each_once(server, sink, [*accepted, "after"], unstored, repeated=True)
    assert_logged_once(server)


@pytest.mark.cluster_rule("C5")
def test_a_server_takes_over_from_one_whose_host_is_gone(
    network: OwnNetwork, server: ServerProcess, sink: Sink, tmp_path: Path, postgres: OwnPostgres
) -> None:
    sink.delay = 1.0
    accepted: list[object] = list(range(10))
    assert {server.post("f", n)[0] for n in accepted} == {202}
    network.cut(network.here[0])
    server.kill()
    network.speak_from(network.here[1])
    sink.delay = 0.0
    server.start(40)
    server.eventually("it takes over", lambda: "taking over from a node that is gone" in server.log(), 20)
    eventually("everything has ended", server.drained, 30)
    assert {received.body for received in sink.received} == set(accepted)
    left = f"SELECT count(*) FROM pg_stat_activity WHERE client_addr = '{network.here[0]}'"
    eventually("PostgreSQL has ended the sessions of the host that is gone", lambda: not postgres.run(left), 30)
    network.restore(network.here[0])
