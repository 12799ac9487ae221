"""How the engine's HTTP client uses its connections, against servers that speak bytes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.integration.http_servers import HERE, StoppedClock, error_of

from hookline.model.message import Attachment
from hookline.outbound.client import PooledClient


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
        # Nobody knows if the server did it: a retry has to send the idempotency key again.
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
        error = await error_of(client.request("POST", f"{wire.url}orders"))
        assert (error.error_code, error.retryable) == ("http.disconnected", True)
        assert error.message == f"{wire.url}orders closed the connection"


async def test_repeated_headers_are_joined(client: PooledClient) -> None:
    async with Wire(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n") as wire:
        assert (await client.request("GET", wire.url)).headers["a"] == "1, 2"


async def test_interim_responses_are_passed_over(client: PooledClient) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with Wire(b"HTTP/1.1 100 Continue\r\n\r\n" + early + OK, OK) as wire:
        for _ in range(2):
            response = await client.request("POST", wire.url)
            assert (response.status, response.content) == (200, b"ok")
        assert wire.connections == 1


@pytest.mark.parametrize(
    ("method", "answer", "connections"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 1),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 1),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 2),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 2),
        ("GET", OK[:-2] + b"okHTTP/1.1 200 OK\r\n\r\n", 2),
    ],
)
async def test_a_connection_is_kept_only_after_the_whole_of_one_response(
    client: PooledClient, method: str, answer: bytes, connections: int
) -> None:
    async with Wire(answer, OK) as wire:
        await client.request(method, wire.url)
        assert (await client.request("POST", wire.url)).content == b"ok"
        assert wire.connections == connections


async def test_a_response_may_end_with_its_connection(client: PooledClient) -> None:
    async with Wire(b"HTTP/1.1 200 OK\r\n\r\nall of it") as wire:
        assert (await client.request("GET", wire.url)).content == b"all of it"


async def test_a_connection_is_free_as_soon_as_its_response_is_read(client: PooledClient) -> None:
    async with Wire(OK, OK) as wire, client.stream("GET", wire.url) as first:
        assert (await first.read()).content == b"ok"
        assert (await client.request("GET", wire.url)).content == b"ok"
        assert wire.connections == 1


async def test_a_connection_whose_response_is_not_read_is_closed(client: PooledClient) -> None:
    async with Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", OK) as wire:
        async with client.stream("GET", wire.url) as response:
            assert response.status == 200
        assert (await client.request("GET", wire.url)).content == b"ok"
        assert wire.connections == 2


class Endless:
    """A blob store whose one file is never read to its end."""

    closed = False

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(chunk_size)
        finally:
            self.closed = True


async def test_an_upload_stops_when_the_server_rejects_it_early() -> None:
    blobs = Endless()
    client = PooledClient(clock=StoppedClock(), egress=HERE, blobs=blobs)  # type: ignore[arg-type]
    file = Attachment("b", "file", None, "text/csv", 10**12, "")
    async with Wire(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch", OK) as wire:
        error = await error_of(client.request("PUT", wire.url, file=file))
        assert (error.error_code, error.message.rpartition(": ")[2]) == ("http.413", "much")
        assert blobs.closed
        assert (await client.request("GET", wire.url)).content == b"ok"
        assert wire.connections == 2
    await client.close()


async def test_an_upload_is_never_longer_than_it_said() -> None:
    class Long(Endless):
        async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"1234567"

    client = PooledClient(clock=StoppedClock(), egress=HERE, blobs=Long())  # type: ignore[arg-type]
    received = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(10)
        writer.write(OK)
        received.set_result(body + await reader.read())
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        file = Attachment("b", "file", None, "text/csv", 10, "")
        assert (await client.request("PUT", url, file=file)).content == b"ok"
        await client.close()
        assert await received == b"1234567123"


async def test_after_close_there_are_no_requests(client: PooledClient) -> None:
    async with Wire(OK) as wire:
        await client.request("GET", wire.url)
        await client.close()
        error = await error_of(client.request("GET", wire.url))
        assert (error.error_code, error.retryable) == ("engine.stopping", True)
        await client.close()
