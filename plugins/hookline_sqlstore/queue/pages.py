"""Pages of the table: the executions that a feed delivers next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hookline.api_storage import Clock
from hookline_sqlstore.databases.database import Database
from hookline_sqlstore.queue.feed import Feed
from hookline_sqlstore.reading import work
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.claims import ClaimRow
from hookline_sqlstore.writing.operations import Commit, Operation


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of the table."""

    rows: Sequence[Any]
    complete: bool
    """Nothing else is ready."""


class Pages(Protocol):
    """Read what a feed may deliver."""

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        """Return the executions `again`, unless they have ended, and the flow's ready ones that aren't in flight: at
        most `room` together. Raises StoreError."""
        ...


class ReadPages:
    """Pages of a database that only this process uses."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        now, limit, begun_only = self._clock.now(), room + len(feed.in_flight), feed.begun_only
        ids = await self._database.read(
            lambda connection: work.ready(connection, feed.flow_id, now, limit, begun_only=begun_only)
        )
        returned = frozenset(feed.returned)
        new = [execution_id for execution_id in feed.new(ids) if execution_id not in returned]
        complete = len(ids) < limit and len(again) + len(new) <= room
        del new[max(0, room - len(again)) :]
        if not again and not new:
            return Page((), complete)
        rows = await self._database.read(
            lambda connection: work.to_run(connection, again, new, now, begun_only=begun_only)
        )
        return Page(rows, complete)


class ClaimedPages:
    """Pages of a database that several nodes use: a node claims what it reads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        row = ClaimRow(
            feed.flow_id,
            tuple(again),
            (*feed.in_flight, *feed.returned),
            room,
            self._clock.now(),
            begun_only=feed.begun_only,
        )
        commit = Commit([Operation(statements.CLAIM_READY, "", row, 0)], [None])
        await self._database.write(commit)
        claimed: Any = commit.results[0]
        return Page(*claimed)
