"""What the engine's HTTP client reaches, and what it doesn't."""

import pytest
from tests.integration.http_servers import Serve, StoppedClock, error_of, redirect, show

from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress


@pytest.mark.rule(35)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_inside_address_is_rejected_at_the_socket(serve: Serve, host: str) -> None:
    server = await serve({"/": show})
    client = PooledClient(clock=StoppedClock())
    error = await error_of(client.request("GET", f"http://{host}:{server.port}/"))
    assert (error.error_code, error.retryable) == ("http.egress", False)
    assert "HOOKLINE_EGRESS_ALLOW" in error.message
    await client.close()


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"])
async def test_another_spelling_of_an_address_reaches_nothing(serve: Serve, host: str) -> None:
    server = await serve({"/": show})
    client = PooledClient(clock=StoppedClock())
    error = await error_of(client.request("GET", f"http://{host}:{server.port}/"))
    assert error.error_code in ("http.egress", "http.url", "http.connect")
    await client.close()


async def test_a_redirect_to_an_inside_address_is_rejected(serve: Serve) -> None:
    inside = await serve({"/": show})
    outside = await serve({"/": redirect(302, str(inside.make_url("/")))})
    client = PooledClient(clock=StoppedClock(), egress=Egress([f"127.0.0.1:{outside.port}"]))
    error = await error_of(client.request("GET", str(outside.make_url("/"))))
    assert error.error_code == "http.egress"
    assert f"127.0.0.1:{inside.port}" in error.message
    await client.close()


async def test_a_host_may_be_allowed_by_its_name(serve: Serve) -> None:
    server = await serve({"/": show})
    client = PooledClient(clock=StoppedClock(), egress=Egress([f"localhost:{server.port}"]))
    assert (await client.request("GET", f"http://localhost:{server.port}/")).status == 200
    error = await error_of(client.request("GET", f"http://127.0.0.1:{server.port}/"))
    assert error.error_code == "http.egress"
    await client.close()


@pytest.mark.rule(35)
async def test_environment_proxies_are_ignored(
    client: PooledClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve({"/": show})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await client.request("GET", str(server.make_url("/")))).status == 200
