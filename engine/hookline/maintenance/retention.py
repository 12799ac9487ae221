"""Retention: purge ended executions, expired dedupe keys and old versions of flows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hookline.catalog.catalog import Catalog
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.storage.changes import ForgetDedupeKeys, ForgetVersions, Purge
from hookline.storage.store import Store

VERSIONS_KEPT: Final = 20
"""The number of unreferenced versions that are kept for each flow, for rollbacks."""
_PAGE: Final = 500
_FIRST: Final = 16
#: The seconds that one commit should take at most, because others wait for it.
_LONGEST: Final = 0.02


@dataclass(frozen=True, slots=True)
class Retention:
    """The age and the number of the ended executions that are kept for a flow."""

    age: timedelta
    count: int | None = None


def retention_in(catalog: Catalog, default: timedelta, flow_id: str) -> Retention:
    """The retention of a flow: its own, or the default if it has none or no longer exists."""
    entry = catalog.entries.get(flow_id)
    said = None if entry is None or entry.flow is None else entry.flow.document.retention
    return Retention(default) if said is None else Retention(said.age or default, said.count)


class Purger:
    """Purge in small commits, each followed by a pause of the same length, so that messages are accepted in between."""

    def __init__(self, store: Store, clock: Clock, log: Log, retention_of: Callable[[str], Retention]) -> None:
        """`retention_of` returns the retention of a flow by its id, also of a flow that no longer exists."""
        self._store = store
        self._clock = clock
        self._log = log
        self._retention_of = retention_of
        self._size = _FIRST

    async def purge(self) -> int:
        """Purge the expired executions of all flows; return their number. Raises StoreError."""
        gone = 0
        await self._store.commit((ForgetDedupeKeys(self._clock.now()),))
        for flow_id in sorted(await self._store.flows_with_history()):
            retention = self._retention_of(flow_id)
            gone += await self._from(flow_id, retention.age)
            if retention.count is not None:
                last = await self._store.first_too_many(flow_id, retention.count)
                if last is not None:
                    gone += await self._from(flow_id, timedelta(0), up_to=last)
            versions = tuple(await self._store.spent_versions(flow_id, VERSIONS_KEPT))
            if versions:
                await self._store.commit((ForgetVersions(flow_id, versions),))
        if gone:
            self._log.info("ended executions were purged", executions=gone)
        return gone

    async def oldest(self, count: int) -> int:
        """Purge this many of the oldest ended executions of all flows; return the number that was purged."""
        return await self._from(None, timedelta(0), count=count)

    async def _from(
        self, flow_id: str | None, age: timedelta, *, up_to: str | None = None, count: int | None = None
    ) -> int:
        gone, after = 0, ""
        while count is None or gone < count:
            limit = _PAGE if count is None else min(_PAGE, count - gone)
            before = self._clock.now() - age
            page = await self._store.purgeable(flow_id, before, limit, after=after, up_to=up_to)
            if not page:
                break
            after = page[-1]
            await self._in_steps(page)
            gone += len(page)
        return gone

    async def _in_steps(self, page: Sequence[str]) -> None:
        start = 0
        while start < len(page):
            ids = tuple(page[start : start + self._size])
            start += len(ids)
            began = self._clock.monotonic()
            await self._store.commit((Purge(ids, self._clock.now()),))
            took = self._clock.monotonic() - began
            if took > _LONGEST:
                self._size = max(1, self._size // 2)
            elif took < _LONGEST / 2:
                self._size = min(_PAGE, self._size * 2)
            if took > 0:
                await self._clock.sleep(took)
