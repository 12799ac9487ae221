"""TCP links that can be cut, slowed down and healed, in a thread of their own.

A link that is closed resets its connections and takes no new ones. A silent link takes connections and passes nothing
on, not even their end; once it is healed, what was sent meanwhile arrives, as after an outage of a network. A slow link
passes each piece on after a delay, in each direction.
"""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, TypeVar

from tests.ports import free_port

T = TypeVar("T")

_PIECE: Final = 65_536
"""Bytes that are passed on at once."""


class Links:
    """The links of a run: `with Links() as links: link = links.open(5432)`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> "Links":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for link in self._links:
            link.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, target: int) -> "Link":
        """Return a new link from a free port of 127.0.0.1 to another port."""
        link = Link(self._loop, target)
        link.heal()
        self._links.append(link)
        return link


class Link:
    """One link. Its methods may be called from any thread, and return when they have taken effect."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._passable = asyncio.Event()
        self._delay = 0.0

    def heal(self) -> None:
        self._run(self._heal())

    def close(self) -> None:
        self._run(self._close())

    def silence(self) -> None:
        self._run(self._silence())

    def slow(self, delay: float) -> None:
        """`delay`: seconds for each piece."""
        self._run(self._slow(delay))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _heal(self) -> None:
        self._delay = 0.0
        self._passable.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _silence(self) -> None:
        self._passable.clear()

    async def _slow(self, delay: float) -> None:
        self._delay = delay

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            # The link is closed: that is the end of the connection, and no news to the server of asyncio.
            pass
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        try:
            # One direction may end before the other does; an error ends both.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, back))
                tasks.create_task(self._pass(there, writer))
        except* OSError:
            pass
        finally:
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._passable.wait()
            writer.write(piece)
            await writer.drain()
        await self._passable.wait()
        writer.write_eof()
