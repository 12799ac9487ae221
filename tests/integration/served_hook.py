"""The hook over memory behind a real server, and raw sockets to speak to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.hooks.sender import Networks
from hookline.service.server.hook_application import PrefixRouter
from hookline.service.server.serving import Server, serve
from hookline.service.server.stopping import Stopping
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

SERVERS: tuple[Server, ...] = ("hypercorn", "uvicorn")
OPTIONS = HookOptions("https://hooks.example", max_body=100_000, max_file=50_000_000, read_timeout=0.3)


class Served:
    """A server that runs, and the hook behind it."""

    def __init__(self, hook: HookOverMemory, port: int, task: asyncio.Task[None], stopping: Stopping) -> None:
        self.stopping = stopping
        self.hook = hook
        self.port = port
        self.task = task

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *pieces: bytes, end: bool = False) -> bytes:
        """Send bytes, and read until the server closes the connection."""
        reader, writer = await self.connect()
        answer = b""

        async def write() -> None:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                if end:
                    writer.write_eof()

        # Reading goes on meanwhile: a connection that is reset takes what asyncio has not handed on yet with it.
        writing = asyncio.ensure_future(write())
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                while part := await reader.read(65536):
                    answer += part
        await writing
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer


@contextlib.asynccontextmanager
async def serving(
    server: Server,
    *,
    options: HookOptions = OPTIONS,
    head_timeout: float = 1.0,
    drain_seconds: float = 0.3,
    graceful_timeout: float = 1.0,
    max_connections: int = 1000,
    trusted_proxies: Networks = (),
    drain_delay: float = 0.0,
) -> AsyncIterator[Served]:
    hook = HookOverMemory(webhook_flow(methods=("POST", "GET")), options=options)
    pages = create_app(hook, options)
    app = PrefixRouter(hook.endpoints.application(drain_bytes=2_000_000, drain_seconds=drain_seconds), pages)  # type: ignore[arg-type]  # Quart's own types
    shutdown = asyncio.Event()
    stopping = Stopping(shutdown, drain_delay)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            serve(
                app,
                direct=hook.endpoints.direct,
                shutdown=shutdown,
                stopping=stopping,
                port=0,
                server=server,
                bound=lambda _, number: port.set_result(number),
                graceful_timeout=graceful_timeout,
                head_timeout=head_timeout,
                max_connections=max_connections,
                trusted_proxies=trusted_proxies,
            )
        )
        try:
            yield Served(hook, await port, running, stopping)
        finally:
            shutdown.set()


def post(*headers: str, body: bytes = b"", path: str = "/hook/orders", close: bool = False) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, *(["Connection: close"] if close else []), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def read_response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of a response, in lower case, and the body, whose length the head says."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return head, await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


JSON = "Content-Type: application/json"
