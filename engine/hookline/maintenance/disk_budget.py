"""The disk budget: purge the oldest ended executions first; if that isn't enough, accept no more messages."""

import math
from collections.abc import Awaitable, Callable
from typing import Final

from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.maintenance.retention import Purger
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

_EVERY: Final = 10.0
"""Seconds."""
_FILES_EVERY: Final = 900.0
"""Seconds for which the size of the files is cached, because reading it walks their directory."""
_AT_ONCE: Final = 2000
#: The growth before the next purge for a database that doesn't report its free space.
_GROWTH: Final = 1.01


class DiskBudget:
    """Compare the size of the database and the files with the budget from time to time."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        purger: Purger,
        sweep: Callable[[], Awaitable[int]],
        set_full: Callable[[str | None], None],
        clock: Clock,
        log: Log,
        budget: int,
    ) -> None:
        """`sweep` removes unreferenced files. `budget`: bytes."""
        self._store = store
        self._blobs = blobs
        self._purger = purger
        self._sweep = sweep
        self._set_full = set_full
        self._clock = clock
        self._log = log
        self._budget = budget
        self._reached = 0.0
        self._files = 0
        self._files_until = float("-inf")
        self.full: str | None = None
        """The reason why no message is accepted; None if messages are accepted."""

    async def run(self) -> None:
        """Keep within the budget forever."""
        while True:
            await self._clock.sleep(_EVERY)
            try:
                await self.check()
            except (StoreError, OSError) as error:
                self._log.error("the disk budget can't be checked; trying again", error=str(error))

    async def check(self) -> None:
        """Purge until the data fits into the budget; if it can't, set `full`. Raises StoreError and OSError."""
        purged = 0
        while (over := await self._over()) > 0:
            room = await self._store.disk_usage()
            share = min(1.0, 1.1 * over / max(1, room.total + self._files))
            wanted = max(1, math.ceil(room.executions * share))
            gone = await self._purger.oldest(wanted if room.free is None else min(wanted, _AT_ONCE))
            purged += gone
            if gone and self._files:
                await self._sweep()
                self._files_until = float("-inf")
            if not gone:
                self._say(
                    f"{over:,} bytes more than the disk budget of {self._budget:,} are stored, and none can be purged"
                )
                return
            if room.free is None:
                # The purge makes room inside the database's files, which keep their size.
                self._reached = room.total * _GROWTH
        if purged:
            self._log.warning(
                "executions were purged to keep within the disk budget", executions=purged, budget=self._budget
            )
        self._say(None)

    def _say(self, full: str | None) -> None:
        if full is not None and self.full is None:
            self._log.error(
                "no messages are accepted: raise disk_budget, or let the queued executions run", reason=full
            )
        elif full is None and self.full is not None:
            self._log.info("messages are accepted again")
        self.full = full
        self._set_full(full)

    async def _over(self) -> int:
        """The number of bytes above the budget."""
        if self._clock.monotonic() >= self._files_until:
            self._files = await self._blobs.disk_usage()
            self._files_until = self._clock.monotonic() + _FILES_EVERY
        room = await self._store.disk_usage()
        if room.free is None:
            return int(room.total - max(self._budget - self._files, self._reached))
        return room.total - room.free + self._files - self._budget
