"""A way to a server that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from hookline.testing.connector_harness import Harness

_LIMIT = 0.5
_LONGEST = 15.0
"""Seconds after which what was to end hangs, on a machine however slow."""


async def ends(work: Awaitable[object]) -> None:
    """See that work ends, although nobody answers."""
    task = asyncio.ensure_future(work)
    assert (await asyncio.wait((task,), timeout=_LONGEST))[0], "it hangs"
    await task


async def ends_at_its_limit(action: Awaitable[object]) -> None:
    """Give an action that hangs a time limit, as a step has one, and see that it ends."""

    async def limited() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(_LIMIT):
                await action

    await ends(limited())


async def no_step_hangs(
    proxy: "Proxy", send: Callable[[int], Awaitable[None]], harness: Harness, *, used: bool
) -> None:
    """See that a broker that hangs behind a proxy holds neither a step nor the end of the engine; `used`: over a
    connection that was used before."""
    if used:
        await send(1)
    proxy.speaks.clear()
    await ends_at_its_limit(send(2))
    proxy.speaks.set()
    await send(3)
    proxy.speaks.clear()
    await ends(harness.resources.close())


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
        self.answered = 0
        """The bytes that the server has answered."""
        self.cuts_at: int | None = None
        """The number of these bytes after which it breaks all connections off."""
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
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._to)
        pair = {writer, their_writer}
        self._writers |= pair
        # Counted from when it can be cut.
        self.connections += 1
        try:
            await asyncio.gather(self._copy(reader, their_writer), self._copy(their_reader, writer, answers=True))
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.speaks.wait()
                if answers and self._is_the_end(data):
                    # What was answered before arrives.
                    writer.write(data[: len(data) + (self.cuts_at or 0) - self.answered])
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def _is_the_end(self, data: bytes) -> bool:
        self.answered += len(data)
        return self.cuts_at is not None and self.answered >= self.cuts_at


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
