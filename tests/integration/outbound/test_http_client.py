"""What the engine's HTTP client sends, against real servers on this machine."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.integration.http_servers import HERE, Serve, StoppedClock, error_of, redirect, show

from hookline.kernel.errors import BlobGone
from hookline.model.message import Attachment
from hookline.outbound.client import PooledClient


class Blobs:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened = 0

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        self.opened += 1
        for start in range(0, len(self.data), chunk_size):
            yield self.data[start : start + chunk_size]


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


async def test_the_type_of_a_file_can_smuggle_nothing(client: PooledClient) -> None:
    file = Attachment("b", "file", None, "text/csv\r\nX-Evil: 1", 1, "")
    error = await error_of(client.request("PUT", "http://127.0.0.1:9/", file=file))
    assert (error.error_code, error.retryable) == ("http.header", False)


@pytest.mark.parametrize(
    "options",
    [
        {"auth": ("jo", "pw"), "headers": {"authorization": "Bearer t"}},
        {"url": "http://jo:pw@127.0.0.1:9/", "headers": {"Authorization": "Bearer t"}},
        {"url": "http://jo:pw@127.0.0.1:9/", "auth": ("jo", "pw")},
    ],
)
async def test_a_request_has_one_credential(client: PooledClient, options: Any) -> None:
    error = await error_of(client.request("GET", **{"url": "http://127.0.0.1:9/", **options}))
    assert (error.error_code, error.retryable) == ("http.header", False)


async def test_a_request_is_sent_as_it_was_given(client: PooledClient) -> None:
    received: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n") + await reader.read(2))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"http://jö:p%3Aw@127.0.0.1:{server.sockets[0].getsockname()[1]}/ä b?c=d e#f"
        headers = {"host": "a.example", "HOST": "b.example", "X-A": "ä", "accept": "text/html", "x-a": "2"}
        await client.request("POST", url, headers=headers, json={}, params={"g": [1, "&"]})
        await client.close()
    first, *lines = received[0].decode().split("\r\n")
    assert first == "POST /%C3%A4%20b?c=d+e&g=1&g=%26 HTTP/1.1"
    assert lines[-2:] == ["", "{}"]
    sent = sorted(
        line for line in lines[:-2] if not line.startswith(("User-Agent: hookline/", "Accept-Encoding: gzip"))
    )
    credential = b64encode("jö:p:w".encode()).decode()
    assert sent == [
        f"Authorization: Basic {credential}",
        "Content-Length: 2",
        "Content-Type: application/json",
        "HOST: b.example",
        "X-A: ä",
        "accept: text/html",
        "x-a: 2",
    ]


@pytest.mark.parametrize(
    ("method", "length"), [("GET", None), ("HEAD", None), ("POST", "0"), ("DELETE", "0"), ("PURGE", "0")]
)
async def test_only_a_request_that_may_have_a_body_says_that_it_has_none(
    client: PooledClient, serve: Serve, method: str, length: str | None
) -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.extend((request.headers.get("Content-Length"), request.headers.get("Content-Type")))
        return web.Response()

    server = await serve({"/": note})
    await client.request(method, str(server.make_url("/")))
    assert seen == [length, None]


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
