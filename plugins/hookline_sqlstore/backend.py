"""The backend: one database as store and queue."""

from collections.abc import Callable, Iterable

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from hookline.api import StoreError
from hookline.api_storage import Backend, Clock, Envelope, NodeDescription, Queue, Store
from hookline_sqlstore.databases.database import Database, Listener
from hookline_sqlstore.databases.sqlite import SqliteDatabase
from hookline_sqlstore.queue.pages import ClaimedPages, Pages, ReadPages
from hookline_sqlstore.queue.queue import SqlQueue
from hookline_sqlstore.store import SqlStore
from hookline_sqlstore.writing.operations import Commit


class SqlBackend:
    """A store and a queue on the same tables, so that they can't disagree."""

    def __init__(
        self, make: Callable[[Listener], Database], pages: Callable[[Database, Clock], Pages], clock: Clock
    ) -> None:
        self._database = database = make(self)
        self.membership = database.membership
        self.store: Store = SqlStore(database, clock, self.claims)
        self._queue = SqlQueue(database, self.store, clock, pages(database, clock))
        self.queue: Queue = self._queue

    def claims(self, envelope: Envelope) -> bool:
        return self._queue.claims(envelope)

    def committed(self, commit: Commit) -> None:
        self._queue.committed(commit)

    def failed(self, commit: Commit) -> None:
        self._queue.failed(commit)

    def lost(self) -> None:
        self._queue.lost()

    def ready(self, flow_ids: Iterable[str]) -> None:
        self._queue.ready(flow_ids)

    def recovered(self) -> None:
        self._queue.look()

    async def open(self, node: NodeDescription | None = None) -> None:
        await self._database.open(node or NodeDescription())

    async def close(self) -> None:
        await self._queue.close()
        await self._database.close()


def sqlite(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `sqlite:///file`: a path relative to the current directory, or with a fourth slash, an
    absolute one."""
    parsed = _parse(url)
    return SqlBackend(lambda listener: SqliteDatabase(parsed, clock=clock, listener=listener), ReadPages, clock)


def postgresql(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `postgresql://user:password@host/database`, with `?schema=name` in a shared database."""
    from hookline_sqlstore.databases.postgres import PostgresDatabase

    parsed = _parse(url)
    return SqlBackend(lambda listener: PostgresDatabase(parsed, clock=clock, listener=listener), ClaimedPages, clock)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise StoreError(
            "the database's URL can't be read: write sqlite:///file.db, or postgresql://user@host/database"
        ) from error
