"""Retention: purge ended executions, expired dedupe keys, old versions of flows and old statistics."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from hookline.catalog.catalog import Catalog
from hookline.kernel.clocks import Clock
from hookline.kernel.logs import Log
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Change, ForgetDedupeKeys, ForgetVersions, Purge, RollUpStatistics
from hookline.storage.statistics import HOURS_KEPT, MINUTES_KEPT
from hookline.storage.store import Store

VERSIONS_KEPT: Final = 20
"""The number of unreferenced versions that are kept for each flow, for rollbacks."""
DEPLOYMENTS_KEPT: Final = 100
"""The number of deployments, of whatever flows, to whose sets of flows a rollback is possible in any case."""
CLOCKS_DIFFER: Final = timedelta(hours=1)
"""The time by which the clock of an intake queue may differ, and by which a file may be older than its message."""
_PAGE: Final = 500
_FIRST: Final = 16
#: The seconds that one commit should take at most, because others wait for it.
_LONGEST: Final = 0.02


OldestUnstored: TypeAlias = Callable[[], Awaitable[datetime | None]]
"""Returns the time of the oldest message in the intake queue; None if there is none. Raises StoreError."""


async def nothing_unstored() -> None:
    """Return that no message is in an intake queue."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The age and the number of the ended executions that are kept for a flow."""

    age: timedelta
    count: int | None = None


def retention_in(catalog: Catalog, default: timedelta, flow_id: str) -> Retention:
    """The retention of a flow: its own, or the default if it has none or no longer exists."""
    entry = catalog.entries.get(flow_id)
    said = None if entry is None or entry.flow is None else entry.flow.settings.retention
    return Retention(default) if said is None else Retention(said.age or default, said.count)


@dataclass(frozen=True, slots=True)
class Freed:
    """The result of a purge that makes room."""

    executions: int
    size: int
    """Bytes, by estimate."""
    all: bool
    """Nothing purgeable is left."""


class Purger:
    """Purge in small commits, each followed by a pause of the same length, so that messages are accepted in between."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        log: Log,
        retention_of: Callable[[str], Retention],
        oldest_unstored: OldestUnstored = nothing_unstored,
    ) -> None:
        """`retention_of` returns the retention of a flow by its id, also of a flow that no longer exists.

        `oldest_unstored` returns the time of the oldest message that has not left the intake queue. It may be inserted
        again, and would run again if its execution had been purged.
        """
        self._oldest_unstored = oldest_unstored
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log
        self._retention_of = retention_of
        self._size = _FIRST

    async def purge(self) -> int:
        """Purge the expired executions of all flows; return their number. Raises StoreError."""
        gone, until = 0, await self._until()
        while await self._store.has_spent_keys(until):
            await self._timed((ForgetDedupeKeys(until),))
        await self._roll_up_statistics()
        flows = {flow_id: self._retention_of(flow_id) for flow_id in sorted(await self._store.flows_with_history())}
        longest = max((retention.age for retention in flows.values()), default=self._retention_of("").age)
        upkeep = await self._store.keep_partitions(longest, min(until, self._clock.now() - longest))
        if upkeep.removed:
            self._log.info("partitions with ended executions were removed", partitions=upkeep.removed)
        for flow_id, retention in flows.items():
            ended_before = min(until, self._clock.now() - retention.age)
            if retention.age == longest:
                ended_before = min(ended_before, upkeep.purge_before)
            gone += await self._from(flow_id, ended_before)
            if retention.count is not None:
                last = await self._store.first_too_many(flow_id, retention.count)
                if last is not None:
                    gone += await self._from(flow_id, until, up_to=last)
            versions = tuple(await self._store.spent_versions(flow_id, VERSIONS_KEPT, DEPLOYMENTS_KEPT))
            if versions:
                await self._store.commit((ForgetVersions(flow_id, versions),))
        if gone:
            self._log.info("ended executions were purged", executions=gone)
        return gone

    async def free(self, flow_id: str, wanted: float) -> Freed:
        """Purge the oldest ended executions of a flow, with their files, until so many bytes are free.

        Their files are removed at once, however young they are, because the commits that refer to them have been made.
        """
        gone, size, after, until = 0, 0, "", await self._until()
        while size < wanted:
            page = await self._store.purgeable(flow_id, until, _PAGE, after=after)
            if not page:
                return Freed(gone, size, all=True)
            rows = await self._store.freed_by_purging(page)
            files = await self._store.files_of(page)
            sizes = await self._blobs.sizes({blob_id for ids in files.values() for blob_id in ids})
            chosen, expected = [], 0
            for id_ in page:
                if size + expected >= wanted:
                    break
                chosen.append(id_)
                expected += rows.get(id_, 0) + sum(sizes.get(blob_id, 0) for blob_id in files.get(id_, ()))
            after = chosen[-1]
            await self._in_steps(chosen)
            size += sum(rows.get(id_, 0) for id_ in chosen)
            size += await self._remove_files({blob_id for id_ in chosen for blob_id in files.get(id_, ())}, sizes)
            gone += len(chosen)
        return Freed(gone, size, all=False)

    async def _roll_up_statistics(self) -> None:
        """Keep old statistics by the hour, and remove those that are too old."""
        now = self._clock.now()
        before = (now - MINUTES_KEPT, now - HOURS_KEPT)
        while await self._store.has_old_statistics(*before):
            await self._timed((RollUpStatistics(*before),))

    async def _remove_files(self, blob_ids: Collection[str], sizes: Mapping[str, int]) -> int:
        """Remove the files that no execution uses any more; return their bytes."""
        if not blob_ids:
            return 0
        unused = set(blob_ids).difference(await self._store.referenced(blob_ids))
        for blob_id in unused:
            await self._blobs.delete(blob_id)
        return sum(sizes.get(blob_id, 0) for blob_id in unused)

    async def _until(self) -> datetime:
        """Return the time before which executions must have ended. Raises StoreError."""
        now, oldest = self._clock.now(), await self._oldest_unstored()
        return now if oldest is None else min(now, oldest - CLOCKS_DIFFER)

    async def _from(self, flow_id: str, ended_before: datetime, *, up_to: str | None = None) -> int:
        gone, after = 0, ""
        while page := await self._store.purgeable(flow_id, ended_before, _PAGE, after=after, up_to=up_to):
            after = page[-1]
            await self._in_steps(page)
            gone += len(page)
        return gone

    async def _in_steps(self, page: Sequence[str]) -> None:
        start = 0
        while start < len(page):
            ids = tuple(page[start : start + self._size])
            start += len(ids)
            took = await self._timed((Purge(ids, self._clock.now()),))
            if took > _LONGEST:
                self._size = max(1, self._size // 2)
            elif took < _LONGEST / 2:
                self._size = min(_PAGE, self._size * 2)

    async def _timed(self, changes: Sequence[Change]) -> float:
        """Commit, and pause for as long as that took; return the seconds."""
        began = self._clock.monotonic()
        await self._store.commit(changes)
        took = self._clock.monotonic() - began
        if took > 0:
            await self._clock.sleep(took)
        return took
