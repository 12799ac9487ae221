"""The backend of a SQLite file, whose tables can be copied into another database."""

import asyncio
from contextlib import AbstractAsyncContextManager

from sqlalchemy.engine import URL

from hookline.api_storage import Clock, DatabaseStatus, TableReader
from hookline_sqlstore.copying.reader import reading
from hookline_sqlstore.databases.sqlite import SqliteDatabase, file_of
from hookline_sqlstore.databases.status import status_of_file
from hookline_sqlstore.queue.pages import ReadPages
from hookline_sqlstore.sql_backend import SqlBackend


class SqliteBackend(SqlBackend):
    """A store and a queue in one file, its status, and its tables for a copy."""

    def __init__(self, url: URL, clock: Clock) -> None:
        super().__init__(lambda listener: SqliteDatabase(url, clock=clock, listener=listener), ReadPages, clock)
        self._path = file_of(url)

    async def status(self) -> DatabaseStatus:
        return await asyncio.to_thread(status_of_file, self._path)

    def reading(self) -> AbstractAsyncContextManager[TableReader]:
        return reading(self._path)
