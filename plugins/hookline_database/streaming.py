"""The rows of a query, some at a time: from a thread, or a driver of the loop's own, to whoever goes through them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

from hookline.api import JsonValue
from hookline_database.databases import Database, Databases

Row: TypeAlias = dict[str, JsonValue]

#: Pages that may be ahead of whoever takes them.
_AHEAD: Final = 2


class _Over(Exception):
    """Nobody takes rows any more."""


class _Pages:
    """Pages on their way from a connection to the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[list[Row] | None] = asyncio.Queue(_AHEAD)
        self._over = False

    def give(self, connection: Connection, page: list[Row]) -> None:
        """Called where the connection is used: in a thread, or in a greenlet of the loop's own."""
        if connection.dialect.is_async:
            await_only(self.put(page))
        else:
            asyncio.run_coroutine_threadsafe(self.put(page), self._loop).result()

    async def put(self, page: list[Row]) -> None:
        if self._over:
            raise _Over
        await self._queue.put(page)

    async def close(self) -> None:
        """There are no more pages."""
        if not self._over:
            await self._queue.put(None)

    async def take(self) -> list[Row] | None:
        return await self._queue.get()

    def end(self) -> None:
        """Take no more: whoever waits to give a page may do so, and then hears of it."""
        self._over = True
        while not self._queue.empty():
            self._queue.get_nowait()


async def streamed(
    databases: Databases, url: URL, read: Callable[[Database, Connection], Iterator[list[Row]]]
) -> AsyncIterator[Row]:
    """The rows of the pages that `read` gives, which has the connection until it is at its end. Raises StepError."""
    pages = _Pages()

    def work(database: Database, connection: Connection) -> None:
        for page in read(database, connection):
            pages.give(connection, page)

    async def run() -> None:
        try:
            await databases.run(url, work)
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
        await asyncio.wait((reading,))
