"""The backend of a SQL database: store and queue in one set of tables."""

from collections.abc import Callable

from hookline.api_storage import Clock, Queue, Store
from hookline_sqlstore.databases.database import Database, Listener
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
