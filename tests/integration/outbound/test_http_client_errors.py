"""What the engine's HTTP client says when an answer is an error, late, too large, or none."""

import asyncio
import gzip
import socket

import pytest
from aiohttp import web
from tests.integration.http_servers import Serve, error_of, show

from hookline.kernel.errors import StepError
from hookline.outbound.client import PooledClient


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(status, False) for status in (400, 401, 404, 409, 422)],
        *[(status, True) for status in (408, 425, 429, 500, 502, 503, 599)],
    ],
)
async def test_an_error_status_fails_and_says_whether_to_retry(
    client: PooledClient, serve: Serve, status: int, retryable: bool
) -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=status, text="because")

    server = await serve({"/": fail})
    error = await error_of(client.request("GET", str(server.make_url("/"))))
    assert (error.error_code, error.retryable) == (f"http.{status}", retryable)
    assert "because" in error.message
    response = await client.request("GET", str(server.make_url("/")), raise_for_status=False)
    assert (response.status, response.text) == (status, "because")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Sat, 31 Jan 2026 08:01:30 GMT", 90.0),
        ("Sat, 31 Jan 2026 07:00:00 GMT", 0.0),
        ("99999999999", 86400.0),
        ("Sat, 31 Jan 2099 08:00:00 GMT", 86400.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("Sat, 99 Foo 2026 08:00:00 GMT", None),
        (None, None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_as_a_date(
    client: PooledClient, serve: Serve, value: str | None, seconds: float | None
) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={} if value is None else {"Retry-After": value})

    server = await serve({"/": busy})
    assert (await error_of(client.request("GET", str(server.make_url("/"))))).retry_after == seconds


async def test_an_errors_body_is_quoted_briefly_and_without_secrets(client: PooledClient, serve: Serve) -> None:
    async def tell_all(request: web.Request) -> web.Response:
        told = "\x1b[31m" + str(dict(request.headers)) + request.query_string + "x" * 100_000
        return web.Response(status=400, text=told)

    server = await serve({"/": tell_all})
    url = str(server.make_url("/").with_query(token="in-the-query"))
    for options in (
        {"auth": ("jo", "my-password")},
        {"headers": {"Authorization": "Bearer my-password"}},
        {"headers": {"X-Key": "my-password"}},
    ):
        error = await error_of(client.request("GET", url, **options))
        assert "my-password" not in error.message
        assert "am86bXktcGFzc3dvcmQ" not in error.message
        assert "***" in error.message
        assert "\x1b" not in error.message
        assert len(error.message) < 700


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v2/orders/17?token=s3cret#s3cret", "/v2/orders/17 answered 404"),
        ("/services/T024BE7LD/B0AX3/XXq9f8Yz27kLm41PqRs0WvTu", "/services/T024BE7LD/B0AX3/*** answered"),
        ("/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/send", "/***/send answered"),
        ("/orders/019c1310-e400-7516-819f-5a9bbb75811d", "/orders/019c1310-e400-7516-819f-5a9bbb75811d answered"),
        (f"/{'a/' * 400}", f"/{'a/' * 99}a… answered"),
    ],
)
async def test_messages_show_the_path_without_tokens_and_no_query(
    client: PooledClient, serve: Serve, path: str, shown: str
) -> None:
    server = await serve({})
    url = f"http://jo:my-password@127.0.0.1:{server.port}{path}"
    error = await error_of(client.request("GET", url))
    assert error.error_code == "http.404"
    assert f"GET http://127.0.0.1:{server.port}{shown}" in error.message
    assert "s3cret" not in error.message
    assert "my-password" not in error.message


async def test_a_secret_of_the_request_is_not_shown_in_its_path(client: PooledClient, serve: Serve) -> None:
    server = await serve({})
    url = str(server.make_url("/keys/my-password"))
    error = await error_of(client.request("GET", url, headers={"X-Key": "my-password"}))
    assert "/keys/*** answered 404" in error.message


async def test_a_refused_connection_can_be_retried(client: PooledClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await error_of(client.request("POST", f"http://127.0.0.1:{unused.getsockname()[1]}/", content=b"x"))
    assert (error.error_code, error.retryable) == ("http.connect", True)
    assert "refused" in error.message.lower()


async def test_an_unknown_host_can_be_retried(client: PooledClient) -> None:
    error = await error_of(client.request("GET", "http://no-such-host.invalid/"))
    assert (error.error_code, error.retryable) == ("http.connect", True)


async def test_no_trust_is_an_error_of_its_own(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": show})
    error = await error_of(client.request("GET", f"https://127.0.0.1:{server.port}/"))
    assert (error.error_code, error.retryable) == ("http.tls", True)
    assert "_ssl.c" not in error.message


async def test_the_timeout_covers_the_whole_of_a_slow_response(client: PooledClient, serve: Serve) -> None:
    release = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"some")
        await release.wait()
        return response

    async def late(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    server = await serve({"/drip": drip, "/late": late})
    for path in ("/drip", "/late"):
        error = await error_of(client.request("GET", str(server.make_url(path)), timeout=0.05))
        assert (error.error_code, error.retryable) == ("http.timeout", True)
        assert f"GET {server.make_url(path)} took longer than 0.05 s" in error.message
    with pytest.raises(StepError, match=r"0\.05 s"):
        async with client.stream("GET", str(server.make_url("/drip")), timeout=0.05) as response:
            await response.read()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    release.set()


async def test_a_timeout_of_the_callers_stays_the_callers(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": show})
    with pytest.raises(TimeoutError):
        async with client.stream("GET", str(server.make_url("/"))), asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_a_cancellation_at_the_time_of_the_timeout_passes(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": show})

    async def ask() -> None:
        async with client.stream("GET", str(server.make_url("/")), timeout=0.5):
            try:
                await asyncio.Event().wait()
            finally:
                expired.set()
                # The other cancellation comes before the request is told of its own.
                await asyncio.sleep(0)

    expired = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        await expired.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancellation_passes(client: PooledClient, serve: Serve) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        arrived.set()
        await release.wait()
        return web.Response()

    server = await serve({"/": hold})
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.request("GET", str(server.make_url("/"))))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    release.set()


async def test_a_response_is_read_up_to_its_bound(client: PooledClient, serve: Serve) -> None:
    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(200_000))

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})

    server = await serve({"/": large, "/bomb": bomb})
    url = str(server.make_url("/"))
    assert len((await client.request("GET", url, max_bytes=200_000)).content) == 200_000
    for address, bound in ((url, 199_999), (str(server.make_url("/bomb")), None)):
        error = await error_of(client.request("GET", address, max_bytes=bound))
        assert (error.error_code, error.retryable) == ("http.too_large", False)


async def test_a_stream_has_no_bound_and_fails_on_an_error_status_as_well(client: PooledClient, serve: Serve) -> None:
    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(20_000_000))

    server = await serve({"/": large})
    size = 0
    async with client.stream("GET", str(server.make_url("/"))) as response:
        assert response.status == 200
        async for chunk in response.chunks():
            size += len(chunk)
    assert size == 20_000_000
    with pytest.raises(StepError, match="404"):
        async with client.stream("GET", str(server.make_url("/none"))):
            pytest.fail("an error status has no body to read")
