"""`ctx.resources.connect`: connections of plugins that don't speak HTTP."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from tests.integration.http_servers import error_of

from hookline.kernel.errors import StepError, Unavailable
from hookline.outbound.egress import Egress
from hookline.plugin_host.engine_facades import ResourcesFacade
from hookline.plugin_host.resources import EngineResources


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("by_facade", [False, True])
async def test_a_host_that_is_allowed_is_connected_to(listening: socket.socket, by_facade: bool) -> None:
    own = EngineResources(egress=Egress(["localhost"]))
    resources = ResourcesFacade(own) if by_facade else own
    with await resources.connect("localhost", port_of(listening)) as made:
        assert made.getpeername() == ("127.0.0.1", port_of(listening))
        assert not made.getblocking()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "::ffff:127.0.0.1", "169.254.169.254"])
async def test_an_inside_address_is_rejected_before_anything_is_sent(listening: socket.socket, host: str) -> None:
    resources = EngineResources(egress=Egress([f"127.0.0.1:{port_of(listening) - 1}"]))
    error = await error_of(resources.connect(host, port_of(listening)))
    assert (error.error_code, error.retryable) == ("engine.egress", False)
    listening.settimeout(0)
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.parametrize("by_facade", [False, True])
async def test_a_host_is_resolved_only_if_all_its_addresses_are_allowed(
    monkeypatch: pytest.MonkeyPatch, by_facade: bool
) -> None:
    own = EngineResources(egress=Egress(["10.0.0.0/8"]))
    resources = ResourcesFacade(own) if by_facade else own
    found = ["10.0.0.1", "93.184.215.14"]

    async def addresses(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
    assert await resources.resolve("minio.example", 9000) == found
    found.append("127.0.0.1")
    error = await error_of(resources.resolve("minio.example", 9000))
    assert error.error_code == "engine.egress"
    assert "add minio.example:9000 " in error.message


async def test_what_nobody_answers_at_is_unavailable(listening: socket.socket) -> None:
    port = port_of(listening)
    listening.close()
    error = await error_of(EngineResources(egress=Egress(["127.0.0.1"])).connect("127.0.0.1", port))
    assert isinstance(error, Unavailable)
    assert error.error_code == "engine.connect"
    assert f"127.0.0.1:{port}" in error.message


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b"])
async def test_what_is_no_name_is_said(host: str) -> None:
    error = await error_of(EngineResources().connect(host, 25))
    assert isinstance(error, StepError)
    assert error.error_code == "engine.connect"


async def test_a_host_that_says_nothing_is_given_up() -> None:
    # A queue that is full takes no more connections, and answers nothing.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        resources = EngineResources(egress=Egress(["127.0.0.1"]))
        error = await error_of(resources.connect("127.0.0.1", port_of(full), timeout=0.2))
        assert isinstance(error, Unavailable)
        assert "0.2 s" in error.message
