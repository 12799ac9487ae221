"""Rows in pages, between the event loop and the user of a connection: a thread, or a greenlet of the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import CancelledError
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from hookline.api import JsonValue
from hookline_sql.databases.address import Address
from hookline_sql.databases.mysql import is_mysql
from hookline_sql.databases.pools import Database, Databases

Row: TypeAlias = dict[str, JsonValue]

#: The number of a step's items that are taken at once.
_TAKEN: Final = 500
#: The number of pages that may be read ahead.
_AHEAD: Final = 2
_HEARS: Final = 0.5
"""Seconds in which a reader learns that nobody takes rows any more, unless it waits for the server."""


class _Over(Exception):
    """Nobody takes rows any more."""


class _Pages:
    """Pages on the way from a connection to the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[list[Row] | None] = asyncio.Queue(_AHEAD)
        self._over = False

    def give(self, connection: Connection, page: list[Row]) -> None:
        """Hand over a page. Called by the user of the connection: in a thread, or in a greenlet of the loop."""
        if connection.dialect.is_async:
            await_only(self.put(page))
        else:
            asyncio.run_coroutine_threadsafe(self.put(page), self._loop).result()

    async def put(self, page: list[Row]) -> None:
        if self._over:
            raise _Over
        await self._queue.put(page)

    async def close(self) -> None:
        """Say that there are no more pages."""
        if not self._over:
            await self._queue.put(None)

    async def take(self) -> list[Row] | None:
        return await self._queue.get()

    def end(self) -> None:
        """Take no more pages. A waiting producer may still hand over its page, and is told after that."""
        self._over = True
        while not self._queue.empty():
            self._queue.get_nowait()


async def streamed(
    databases: Databases, address: Address, read: Callable[[Database, Connection], Generator[list[Row], None, None]]
) -> AsyncIterator[Row]:
    """Yield the rows of the pages that `read` yields, which has the connection until it ends. Raises StepError."""
    pages = _Pages()

    def work(database: Database, connection: Connection) -> None:
        some = read(database, connection)
        try:
            for page in some:
                pages.give(connection, page)
        except _Over:
            if is_mysql(connection.dialect):
                # It would send all remaining rows before it noticed anything else.
                connection.invalidate()
            raise
        finally:
            some.close()

    async def run() -> None:
        try:
            await databases.run(address, work)
        except _Over:
            return
        finally:
            await pages.close()

    reading = asyncio.create_task(run())
    try:
        while (page := await pages.take()) is not None:
            for row in page:
                yield row
        await reading
    finally:
        pages.end()
        if not (await asyncio.wait((reading,), timeout=_HEARS))[0]:
            # A statement may take hours before it yields anything, and the step's time is over now.
            reading.cancel()
            await asyncio.wait((reading,))
        if not reading.cancelled():
            # Nobody needs its exception any more.
            reading.exception()


class Incoming:
    """The items of a step on the way to a connection."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._items = items
        self._over = False
        self._taking: asyncio.Task[Any] | None = None
        self._first: list[Any] | None = None

    async def any(self) -> bool:
        """Return true if there is an item; call it before the first page is taken."""
        self._first = await self._take()
        return bool(self._first)

    def page(self, connection: Connection) -> list[Any]:
        """Return the next items, or none at the end. Called by the user of the connection."""
        if self._first is not None:
            page, self._first = self._first, None
            return page
        if connection.dialect.is_async:
            return await_only(self._take())
        try:
            return asyncio.run_coroutine_threadsafe(self._take_in_thread(), self._loop).result()
        except CancelledError:
            raise _Over from None

    async def _take(self) -> list[Any]:
        page: list[Any] = []
        async for item in self._items:
            page.append(item)
            if len(page) == _TAKEN:
                break
        return page

    async def _take_in_thread(self) -> list[Any]:
        """Take a page for a thread, which isn't cancelled with its step."""
        if self._over:
            raise _Over
        self._taking = asyncio.current_task()
        try:
            return await self._take()
        finally:
            self._taking = None

    async def end(self) -> None:
        """End the work with the items: the next request for items fails, so the work is rolled back."""
        self._over = True
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait((self._taking,))
