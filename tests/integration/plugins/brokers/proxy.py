"""A way to a server that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

import pytest

_LIMIT = 0.5
SLACK = 3.0
"""Seconds in which an action ends after its time limit."""


async def ends_in_time(action: Awaitable[object]) -> None:
    """Give an action that hangs a time limit, as the limit of a step does, and see that it ends."""
    begun = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(_LIMIT):
            await action
    assert asyncio.get_running_loop().time() - begun < _LIMIT + SLACK


class Proxy:
    """Passes bytes on, both ways."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.rejects = False
        """Whether it lets nobody through."""
        self.speaks = asyncio.Event()
        """Cleared, it takes bytes and connections, and passes nothing on."""
        self.speaks.set()
        self.connections = 0
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections off."""
        for writer in self._writers:
            writer.transport.abort()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.rejects:
            writer.transport.abort()
            return
        self.connections += 1
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._to)
        pair = {writer, their_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._copy(reader, their_writer), self._copy(their_reader, writer))
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.speaks.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own."""
    made = Proxy(port)
    server = await asyncio.start_server(made.pass_on, "127.0.0.1")
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.speaks.set()
        made.cut()
        await asyncio.sleep(0)
