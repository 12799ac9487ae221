"""How the engine's HTTP client uses its connections, against servers that speak bytes."""

import asyncio

import pytest
from tests.integration.http_servers import error_of

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
