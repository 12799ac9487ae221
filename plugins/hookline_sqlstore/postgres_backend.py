"""The backend of a schema of PostgreSQL, into whose tables those of another database can be copied."""

from contextlib import AbstractAsyncContextManager

from sqlalchemy.engine import URL

from hookline.api_storage import Clock, DatabaseStatus, TableWriter
from hookline_sqlstore.copying.writer import filling
from hookline_sqlstore.databases.postgres import PostgresDatabase
from hookline_sqlstore.databases.postgres_address import Address
from hookline_sqlstore.databases.status import status_of_schema
from hookline_sqlstore.queue.pages import ClaimedPages
from hookline_sqlstore.sql_backend import SqlBackend


class PostgresBackend(SqlBackend):
    """A store and a queue in one schema, its status, and its tables for a copy."""

    def __init__(self, url: URL, clock: Clock) -> None:
        self._address = Address(url)
        super().__init__(
            lambda listener: PostgresDatabase(self._address, clock=clock, listener=listener), ClaimedPages, clock
        )

    async def status(self) -> DatabaseStatus:
        return await status_of_schema(self._address)

    def filling(self) -> AbstractAsyncContextManager[TableWriter]:
        return filling(self._address)
