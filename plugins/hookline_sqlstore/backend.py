"""The backend: one database as store and queue."""

from collections.abc import Callable

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from hookline.api import StoreError
from hookline.api_storage import Backend, Clock, Queue, Store
from hookline_sqlstore.databases.database import Database, Listener
from hookline_sqlstore.databases.sqlite import SqliteDatabase
from hookline_sqlstore.queue.queue import SqlQueue
from hookline_sqlstore.store import SqlStore
from hookline_sqlstore.writing.operations import Commit


class SqlBackend:
    """A store and a queue on the same tables, so that they can't disagree."""

    def __init__(self, make: Callable[[Listener], Database], clock: Clock) -> None:
        self._database = make(self)
        self.store: Store = SqlStore(self._database, clock)
        self._queue = SqlQueue(self._database, self.store, clock)
        self.queue: Queue = self._queue

    def committed(self, commit: Commit) -> None:
        self._queue.committed(commit)

    def recovered(self) -> None:
        self._queue.look()

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._queue.close()
        await self._database.close()


def sqlite(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `sqlite:///file`: a path relative to the current directory, or with a fourth slash, an
    absolute one."""
    parsed = _parse(url)
    return SqlBackend(lambda listener: SqliteDatabase(parsed, clock=clock, listener=listener), clock)


def postgresql(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `postgresql://user:password@host/database`, with `?schema=name` in a shared database."""
    from hookline_sqlstore.databases.postgres import PostgresDatabase

    parsed = _parse(url)
    return SqlBackend(lambda listener: PostgresDatabase(parsed, clock=clock, listener=listener), clock)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise StoreError(
            "the database's URL can't be read: write sqlite:///file.db, or postgresql://user@host/database"
        ) from error
