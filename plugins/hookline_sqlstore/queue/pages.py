"""Pages of the table: the executions that a feed delivers next."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hookline.api_storage import Clock
from hookline_sqlstore.databases.database import Database
from hookline_sqlstore.queue.flow_feed import Feed
from hookline_sqlstore.reading.executions import open_executions
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.node_agreements import ClaimRow
from hookline_sqlstore.writing.prepared_commit import Commit, Operation


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of the table."""

    rows: Sequence[Any]
    complete: bool
    """Nothing else is ready."""
    full: bool = False
    """The nodes together have as many executions of the flow as they may have."""


class Pages(Protocol):
    """Read what a feed may deliver."""

    @property
    def shared(self) -> bool:
        """True if several nodes may read."""
        ...

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        """Return the executions `again`, unless they have ended, and the flow's ready ones that aren't in flight: at
        most `room` together. Raises StoreError."""
        ...


#: If at least so many flows ask at the same time, there is one query for all. Fewer flows read their pages at once.
_MANY: Final = 64


@dataclass(slots=True)
class _Asking:
    """The flows that ask at the same moment."""

    count: int = 0
    found: asyncio.Task[frozenset[str]] | None = None
    """The flows with anything that is ready; None if the flows that ask are few."""


@dataclass(slots=True)
class _SharedLook:
    """One look into the table for all flows that ask at the same moment, as when a server starts.

    Hardly any of them has anything to deliver, and a query for each would take time and memory.
    """

    _database: Database
    _asking: _Asking = field(default_factory=_Asking)

    async def finds(self, flow_id: str) -> bool:
        """Return false if the flow has nothing to deliver. Raises StoreError."""
        asking = self._asking
        asking.count += 1
        await asyncio.sleep(0)  # until all have asked
        if self._asking is asking:
            self._asking = _Asking()
            if asking.count >= _MANY:
                look = self._database.read(open_executions.flows_with_ready, long=True)
                asking.found = asyncio.create_task(look, name="look into the queue of many flows")
        # A flow that is closed meanwhile doesn't end the look of the others.
        return asking.found is None or flow_id in await asyncio.shield(asking.found)


class ReadPages:
    """Pages of a database that only this process uses."""

    shared: Final = False

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._look = _SharedLook(database)

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        if not again and not await self._look.finds(feed.flow_id):
            return Page((), complete=True)
        now, limit, begun_only = self._clock.now(), room + len(feed.in_flight), feed.begun_only
        ids = await self._database.read(
            lambda connection: open_executions.ready(connection, feed.flow_id, now, limit, begun_only=begun_only)
        )
        returned = frozenset(feed.returned)
        new = [execution_id for execution_id in feed.new(ids) if execution_id not in returned]
        complete = len(ids) < limit and len(again) + len(new) <= room
        del new[max(0, room - len(again)) :]
        if not again and not new:
            return Page((), complete)
        rows = await self._database.read(
            lambda connection: open_executions.to_run(connection, again, new, now, begun_only=begun_only)
        )
        return Page(rows, complete)


class ClaimedPages:
    """Pages of a database that several nodes use: a node claims what it reads."""

    shared: Final = True

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._look = _SharedLook(database)

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        if not again and not await self._look.finds(feed.flow_id):
            return Page((), complete=True)
        row = ClaimRow(
            feed.flow_id,
            tuple(again),
            (*feed.in_flight, *feed.returned),
            room,
            self._clock.now(),
            begun_only=feed.begun_only,
            limit=feed.limit,
        )
        commit = Commit([Operation(statements.CLAIM_READY, "", row, 0)], [None])
        await self._database.write(commit)
        claimed: Any = commit.results[0]
        return Page(*claimed)
