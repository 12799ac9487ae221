"""The place of this node among those of its database: its lease, and what happens when that is lost."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from hookline.api import StoreError
from hookline.api_storage import (
    Node,
    NodeDescription,
    NodeParts,
    PartsMoved,
    PartsRequest,
    QueueCount,
    StoreAway,
    steady_seconds,
)
from hookline_sqlstore.cluster.interfaces import TablesAccess
from hookline_sqlstore.dialect import Statement
from hookline_sqlstore.node_lease import DURATION, Lease, LeaseLost
from hookline_sqlstore.reading import nodes
from hookline_sqlstore.reading.nodes import Behind
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.node_agreements import TakeOverRow
from hookline_sqlstore.writing.prepared_commit import Commit, Operation

_PATIENCE: Final = DURATION + 5.0
"""Seconds in which each node adopts a change, or has lost its lease."""
_AGAIN: Final = 0.1
_ASKED: Final = 0.5
"""Seconds until the others are told again that this node asks for parts of rates. They see it in a second anyway."""

_log: Final = logging.getLogger("hookline.store")


class PostgresMembership:
    """Has at most one lease at a time. A new one is taken only when nothing runs any more under the one before."""

    def __init__(self, database: TablesAccess) -> None:
        self.node = NodeDescription()
        self.on_lost: Callable[[], Awaitable[None]] | None = None
        self.on_cancel: Callable[[Sequence[str]], None] | None = None
        self.on_change: Callable[[], Awaitable[None]] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.on_look: Callable[[bool], None] | None = None
        self.on_hint: Callable[[bytes], None] | None = None
        self.hints: Callable[[bytes], bool] | None = None
        """Sends a hint to the other nodes."""
        self.tell_others: Callable[[], None] | None = None
        """Lets the other nodes look."""
        self.on_probe: Callable[[str], Awaitable[bool]] | None = None
        self.size = 1
        self.hosts = 1
        self.others: Collection[str] = ()
        """The names of the other nodes that serve, as far as this one knows."""
        self.current = True
        self._current_at = steady_seconds()
        self._asked_at = -math.inf
        self._database = database
        self._lease: Lease | None = None
        self._lost: str | None = None
        """The lease that was lost last."""
        self._dropping: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Forget the lease of an earlier time, which ended when the database was closed."""
        self._lease = self._lost = None
        self.current = True

    @property
    def lease(self) -> Lease:
        """The present lease. Raises LeaseLost if there is none."""
        if self._lease is None:
            raise LeaseLost
        return self._lease

    @property
    def alone(self) -> bool:
        """True if no other node serves the database."""
        return self.size == 1

    @property
    def held(self) -> bool:
        return self.has_lease and self.current

    @property
    def has_lease(self) -> bool:
        """True while no other node can have taken over."""
        return self._lease is not None and self._lease.held

    def behind_for(self) -> float:
        return steady_seconds() - self._current_at

    def note_current(self, since: float) -> None:
        """Note that this node had adopted all changes at a time of the steady clock."""
        self.current, self._current_at = True, since

    async def joined(self, driver: Any) -> int:
        """Let a new session continue the lease, or register; return the database's time. Raises StoreError."""
        if self._lease is not None:
            return await self._lease.take_session(driver)
        if self._dropping is not None and not self._dropping.done():
            raise StoreAway("this node has lost its lease, and still drops what it ran")
        lease = Lease(self.node)
        now = await lease.register(driver, instead_of=self._lost)
        if self._lost is None:
            self._current_at = steady_seconds()
        self._lease = lease
        return now

    def lose(self) -> None:
        """Note that the lease is lost, and let everything be dropped that ran under it."""
        if self._lease is None:
            return
        self._lease.lost()
        self._lost, self._lease = self._lease.id, None
        # Changes may have been answered without this node.
        self.current = False
        if self.on_lost is not None:
            self._dropping = asyncio.ensure_future(self._drop(self.on_lost))

    async def _drop(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await on_lost()

    async def take(self, duties: Collection[str]) -> Collection[str]:
        lease = self.lease.id
        # A node that waits for a duty asks again and again, and a query costs less than a commit.
        of_others = await self._database.read(lambda connection: nodes.duties_of_others(connection, lease, duties))
        free = tuple(duty for duty in duties if duty not in of_others)
        taken: Collection[str] = await self.write(statements.TAKE_DUTIES, free) if free else ()
        return taken

    async def give(self, duty: str) -> None:
        await self.write(statements.GIVE_DUTY, duty)

    def send_hint(self, hint: bytes) -> bool:
        """Send a hint with the next wake-up, unless nobody else would hear it."""
        return self.alone or self.hints is None or self.hints(hint)

    @property
    def shared(self) -> bool:
        """True: another node may join at any time."""
        return True

    async def limit_parts(self, names: Collection[str] | None = None) -> Sequence[NodeParts]:
        lease = "" if self._lease is None else self._lease.id
        return await self._database.read(lambda connection: nodes.limit_parts_of(connection, lease, names))

    async def count_queued(self, flow_ids: Collection[str]) -> Mapping[str, QueueCount]:
        return await self._database.read(lambda connection: nodes.count_queued(connection, flow_ids), long=True)

    async def move_limit_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        moved: Sequence[PartsMoved] = await self.write(statements.MOVE_RATE_PARTS, tuple(requests))
        if self._tells(requests, moved) and self.tell_others is not None and not self.alone:
            self.tell_others()
        return moved

    def _tells(self, requests: Sequence[PartsRequest], moved: Sequence[PartsMoved]) -> bool:
        """Return true if other nodes should look now.

        Nodes that all need more would otherwise make each other look, and ask, without an end.
        """
        if any(one.given for one in moved):
            return True
        now = time.monotonic()
        if now - self._asked_at < _ASKED or not any(one.asks for one in requests):
            return False
        self._asked_at = now
        return True

    async def adopted(self) -> Collection[str]:
        until, change = time.monotonic() + _PATIENCE, None
        while True:
            late: Behind | None = None
            with contextlib.suppress(StoreError):  # the next try may do better
                if change is None:
                    change = await self._database.read(nodes.last_change)
                late = await self._behind(change)
            if late is not None and not late.living:
                return _names(late.accepting)
            if time.monotonic() >= until:
                return tuple(sorted(self.others)) if late is None else _names([*late.living, *late.accepting])
            await asyncio.sleep(_AGAIN)

    async def _behind(self, change: int) -> Behind:
        """Return the other nodes that have not adopted a change. Raises StoreError."""
        found = await self._database.read(nodes.behind(change))
        me = None if self._lease is None else self._lease.id
        # The time alone doesn't tell: an open transaction may have renewed the lease before the change was made.
        taken = [await self.take_over(row) for row in found.run_out if row.lease != me]
        if any(taken):
            found = await self._database.read(nodes.behind(change))
        return found._replace(living=[row for row in found.living if row.lease != me])

    async def take_over(self, node: Any, *, dead: bool = False) -> bool:
        """End the lease of another node if it has run out; return false if it goes on, or may do so. Raises StoreError.

        `node`: its row. `dead`: its process is known to have ended, so that nobody waits for its lease.
        """
        taken: bool = await self.write(statements.TAKE_OVER, TakeOverRow(node.lease, dead))
        if taken:
            _log.warning("taking over from a node that is gone: %s", node.name)
        return taken

    async def probe(self, blob_id: str) -> bool:
        await self.write(statements.PROBE, blob_id)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            read, asked = await self._database.read(nodes.probe_answer(self.lease.id))
            if read is not None or not asked:
                return read is not False
            await asyncio.sleep(_AGAIN)
        return False

    async def blob_mark(self) -> str | None:
        return await self._database.read(nodes.blob_mark)

    async def set_blob_mark(self, blob_id: str, *, instead_of: str | None) -> None:
        await self.write(statements.SET_BLOB_MARK, (blob_id, instead_of))

    async def nodes(self) -> Sequence[Node]:
        return await self._database.read(nodes.nodes_of)

    def drain(self, lease: str) -> None:
        """Do nothing: the node notices the request when it looks next."""

    async def write(self, statement: Statement, row: Any) -> Any:
        """Write one row under the lease of this node, and return the result. Raises StoreError."""
        commit = Commit([Operation(statement, "", row, 0)], [None])
        await self._database.write(commit)
        return commit.results[0]


def _names(rows: Sequence[Any]) -> Sequence[str]:
    return tuple(sorted({row.name for row in rows}))
