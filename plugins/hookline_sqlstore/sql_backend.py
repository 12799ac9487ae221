"""The backend of a SQL database: store and queue in one set of tables."""

from collections.abc import Callable, Collection, Iterable

from hookline.api_storage import Clock, Envelope, NodeDescription, Queue, Store
from hookline_sqlstore.databases.database import Database, Listener
from hookline_sqlstore.queue.pages import Pages
from hookline_sqlstore.queue.queue import SqlQueue
from hookline_sqlstore.store import SqlStore
from hookline_sqlstore.writing.prepared_commit import Commit


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

    @property
    def identities(self) -> Collection[str]:
        return self._database.identities

    async def open(self, node: NodeDescription | None = None) -> None:
        await self._database.open(node or NodeDescription())
        self._queue.open()

    async def close(self) -> None:
        await self._queue.close()
        await self._database.close()
