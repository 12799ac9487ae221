"""The engine's HTTP client, against real servers on this machine."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookline.errors import BlobGone, StepError
from hookline.model.message import Attachment
from hookline.runtime.egress import Egress
from hookline.runtime.http_client import PooledClient

NOW = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)
HERE = Egress(["127.0.0.1", "::1"])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[dict[str, Handler]], Awaitable[TestServer]]


class StoppedClock:
    """Always at the same time: for the dates in `Retry-After`."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the client doesn't wait by itself")


class Blobs:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened = 0

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        self.opened += 1
        for start in range(0, len(self.data), chunk_size):
            yield self.data[start : start + chunk_size]


@pytest.fixture
async def client() -> AsyncIterator[PooledClient]:
    made = PooledClient(clock=StoppedClock(), egress=HERE)
    yield made
    await made.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(handlers: dict[str, Handler]) -> TestServer:
            app = web.Application()
            for path, handler in handlers.items():
                app.router.add_route("*", path, handler)
            server = TestServer(app)
            await server.start_server()
            stack.push_async_callback(server.close)
            return server

        yield start


async def show(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode(),
        }
    )


def redirect(status: int, location: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return handler


async def error_of(awaitable: Awaitable[object]) -> StepError:
    with pytest.raises(StepError) as caught:
        await awaitable
    return caught.value


# --- What is sent -----------------------------------------------------------------------------------------------


async def test_a_request_says_who_sends_it_and_keeps_no_cookies(client: PooledClient, serve: Serve) -> None:
    async def set_cookie(_: web.Request) -> web.Response:
        response = web.Response()
        response.set_cookie("session", "of one flow")
        return response

    server = await serve({"/": show, "/cookie": set_cookie})
    await client.request("GET", str(server.make_url("/cookie")))
    shown = await client.get_json(str(server.make_url("/")))
    assert shown["headers"]["user-agent"].startswith("hookline/")
    assert "cookie" not in shown["headers"]


async def test_post_json_sends_exact_integers_and_decodes_the_answer(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": show})
    shown = await client.post_json(str(server.make_url("/")), {"id": 2**64, "text": "ä"})
    assert shown["body"] == '{"id":18446744073709551616,"text":"ä"}'
    assert shown["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-Evil: 1"},
        {"X-A": "b\nc"},
        {"X-A": "b\0"},
        {"X-A\r\nX-Evil": "b"},
        {"X A": "b"},
        {"": "b"},
        {"Content-Length": "0"},
        {"transfer-encoding": "chunked"},
    ],
)
async def test_a_header_can_smuggle_nothing(client: PooledClient, headers: dict[str, str]) -> None:
    error = await error_of(client.request("GET", "http://127.0.0.1:9/", headers=headers))
    assert (error.error_code, error.retryable) == ("http.header", False)


@pytest.mark.parametrize(
    "url",
    ["", "/path", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://jo:s3cret@h:99999/", "http://[::1/"],
)
async def test_only_http_urls_are_taken_and_no_message_shows_their_password(client: PooledClient, url: str) -> None:
    error = await error_of(client.request("GET", url))
    assert (error.error_code, error.retryable) == ("http.url", False)
    assert "s3cret" not in error.message


async def test_an_upload_is_sent_with_its_length_and_again_at_a_redirect(serve: Serve) -> None:
    blobs = Blobs(b"0123456789" * 50_000)
    client = PooledClient(clock=StoppedClock(), egress=HERE, blobs=blobs)  # type: ignore[arg-type]
    server = await serve({"/": show, "/moved": redirect(307, "/")})
    file = Attachment("b", "file", None, "text/csv", len(blobs.data), "")
    shown = (await client.request("PUT", str(server.make_url("/moved")), file=file)).json()
    assert shown["body"].encode() == blobs.data
    assert shown["headers"]["content-length"] == str(len(blobs.data))
    assert shown["headers"]["content-type"] == "text/csv"
    await client.close()


async def test_an_upload_whose_file_is_gone_says_so_and_blames_nobody_else(serve: Serve) -> None:
    class Gone(Blobs):
        async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
            raise BlobGone(blob_id)
            yield b""

    client = PooledClient(clock=StoppedClock(), egress=HERE, blobs=Gone(b""))  # type: ignore[arg-type]
    server = await serve({"/": show})
    file = Attachment("the-blob", "file", None, "text/csv", 10, "")
    with pytest.raises(BlobGone, match="the-blob"):
        await client.request("PUT", str(server.make_url("/")), file=file)
    await client.close()


# --- The guard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_rule_35_an_inside_address_is_refused_at_the_socket(serve: Serve, host: str) -> None:
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


async def test_a_redirect_to_an_inside_address_is_refused(serve: Serve) -> None:
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


async def test_rule_35_environment_proxies_are_ignored(
    client: PooledClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve({"/": show})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await client.request("GET", str(server.make_url("/")))).status == 200


# --- Redirects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "becomes", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (302, "PUT", "PUT", True),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
async def test_a_redirect_keeps_or_changes_the_method(
    client: PooledClient, serve: Serve, status: int, method: str, becomes: str, keeps_body: bool
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text(), request.headers.get("Content-Type")))
        return web.Response()

    server = await serve({"/moved": redirect(status, "/"), "/": note})
    content = None if method == "HEAD" else "body"
    await client.request(method, str(server.make_url("/moved")), content=content)
    ((got, body, media_type),) = seen
    assert got == becomes
    assert (body == "body") is keeps_body
    assert (media_type is not None and media_type.startswith("text/plain")) is keeps_body


async def test_rule_35_a_redirect_to_another_origin_drops_credentials_and_the_key(
    client: PooledClient, serve: Serve
) -> None:
    other = await serve({"/": show})
    first = await serve({"/away": redirect(307, str(other.make_url("/"))), "/near": redirect(307, "/"), "/": show})
    headers = {"X-API-Key": "k", "Cookie": "c=1", "Idempotency-Key": "i", "Accept": "text/html", "X-Custom": "x"}
    options = {"headers": headers, "json": {"a": 1}, "auth": ("jo", "pw")}
    away = (await client.request("POST", str(first.make_url("/away")), **options)).json()  # type: ignore[arg-type]
    assert not {"x-api-key", "cookie", "idempotency-key", "authorization", "x-custom"} & away["headers"].keys()
    assert (away["headers"]["accept"], away["body"]) == ("text/html", '{"a":1}')
    assert away["headers"]["content-type"] == "application/json"
    near = (await client.request("POST", str(first.make_url("/near")), **options)).json()  # type: ignore[arg-type]
    assert {"x-api-key", "cookie", "idempotency-key", "authorization", "x-custom"} <= near["headers"].keys()


async def test_a_password_in_the_url_stays_with_its_origin(client: PooledClient, serve: Serve) -> None:
    other = await serve({"/": show})
    first = await serve({"/away": redirect(302, str(other.make_url("/"))), "/near": redirect(302, "/"), "/": show})
    for path, kept in (("/away", False), ("/near", True)):
        url = str(first.make_url(path).with_user("jo").with_password("pw"))
        assert ("authorization" in (await client.get_json(url))["headers"]) is kept


async def test_redirects_are_counted(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": redirect(302, "/")})
    error = await error_of(client.request("GET", str(server.make_url("/")), redirects=3))
    assert (error.error_code, error.retryable) == ("http.redirect", False)
    assert "3 times" in error.message


async def test_with_no_redirects_the_response_is_the_redirect(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": redirect(302, "/next")})
    response = await client.request("GET", str(server.make_url("/")), redirects=0)
    assert (response.status, response.headers["location"]) == (302, "/next")


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:1", "http://", "http://[::1/"]
)
async def test_a_redirect_leads_to_http_or_nowhere(client: PooledClient, serve: Serve, location: str) -> None:
    server = await serve({"/": redirect(302, location)})
    error = await error_of(client.request("GET", str(server.make_url("/"))))
    assert (error.error_code, error.retryable) == ("http.redirect", False)


# --- Errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(status, False) for status in (400, 401, 404, 409, 422)],
        *[(status, True) for status in (408, 425, 429, 500, 502, 503, 599)],
    ],
)
async def test_rule_21_an_error_status_fails_and_says_whether_to_retry(
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


async def test_messages_show_the_origin_alone(client: PooledClient, serve: Serve) -> None:
    server = await serve({})
    error = await error_of(client.request("GET", str(server.make_url("/services/T0/s3cret?k=s3cret"))))
    assert error.error_code == "http.404"
    assert "s3cret" not in error.message


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
        assert "0.05 s" in error.message
    with pytest.raises(StepError, match=r"0\.05 s"):
        async with client.stream("GET", str(server.make_url("/drip")), timeout=0.05) as response:
            await response.read()
    release.set()


async def test_a_timeout_of_the_callers_stays_the_callers(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": show})
    with pytest.raises(TimeoutError):
        async with client.stream("GET", str(server.make_url("/"))), asyncio.timeout(0):
            await asyncio.Event().wait()


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


# --- Connections ------------------------------------------------------------------------------------------------


class Wire:
    """A server that speaks bytes: `answers` are given one a request; None cuts the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_connections_are_used_again(client: PooledClient) -> None:
    async with Wire(OK, OK, OK) as wire:
        for _ in range(3):
            assert (await client.request("GET", wire.url)).content == b"ok"
        assert wire.connections == 1


async def test_a_get_on_a_connection_that_the_server_has_closed_is_sent_once_more(client: PooledClient) -> None:
    async with Wire(OK, None, OK) as wire:
        await client.request("GET", wire.url)
        assert (await client.request("GET", wire.url)).content == b"ok"
        assert len(wire.requests) == 3


async def test_a_post_that_was_cut_off_is_not_sent_again_by_the_client(client: PooledClient) -> None:
    async with Wire(OK, None, OK) as wire:
        await client.request("GET", wire.url)
        # Whether the server did it isn't known: whoever retries has to send the idempotency key again.
        error = await error_of(client.request("POST", wire.url))
        assert (error.error_code, error.retryable) == ("http.disconnected", True)
        assert len(wire.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_a_broken_response_is_an_error_that_can_be_retried(client: PooledClient, answer: bytes) -> None:
    async with Wire(answer) as wire:
        error = await error_of(client.request("POST", wire.url))
        assert (error.error_code, error.retryable) == ("http.disconnected", True)


async def test_repeated_headers_are_joined(client: PooledClient) -> None:
    async with Wire(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n") as wire:
        assert (await client.request("GET", wire.url)).headers["a"] == "1, 2"


async def test_after_close_there_are_no_requests(client: PooledClient) -> None:
    async with Wire(OK) as wire:
        await client.request("GET", wire.url)
        await client.close()
        error = await error_of(client.request("GET", wire.url))
        assert (error.error_code, error.retryable) == ("engine.stopping", True)
        await client.close()
