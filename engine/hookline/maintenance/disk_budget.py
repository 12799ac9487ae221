"""Keeping what is stored within a budget: the oldest that has ended goes first, and then no message is taken."""

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
"""Seconds for which the room that files take is known: their directory is walked for it."""
_AT_ONCE: Final = 2000
#: How much a database that doesn't say what room is free in it may grow before more is purged.
_GROWTH: Final = 1.01


class DiskBudget:
    """Looks from time to time how much room the database and the files take."""

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
        """`sweep` removes unused files. `set_full` gets the reason why no message can be accepted, or None.

        `budget` is in bytes.
        """
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
        """Why no message can be taken."""

    async def run(self) -> None:
        """Keep within the budget, for ever."""
        while True:
            await self._clock.sleep(_EVERY)
            try:
                await self.check()
            except (StoreError, OSError) as error:
                self._log.error("the disk budget can't be looked after; trying again", error=str(error))

    async def check(self) -> None:
        """Purge until what is stored fits; where it can't, `full` says so. Raises StoreError and OSError."""
        purged = 0
        while (over := await self._over()) > 0:
            room = await self._store.room()
            share = min(1.0, 1.1 * over / max(1, room.total + self._files))
            wanted = max(1, math.ceil(room.executions * share))
            gone = await self._purger.oldest(wanted if room.free is None else min(wanted, _AT_ONCE))
            purged += gone
            if gone and self._files:
                await self._sweep()
                self._files_until = float("-inf")
            if not gone:
                self._say(
                    f"{over:,} bytes more than the disk budget of {self._budget:,} are stored, and none of it can go"
                )
                return
            if room.free is None:
                # What was purged makes room inside its files, which stay as large as they are.
                self._reached = room.total * _GROWTH
        if purged:
            self._log.warning("executions were purged to keep the disk budget", executions=purged, budget=self._budget)
        self._say(None)

    def _say(self, full: str | None) -> None:
        if full is not None and self.full is None:
            self._log.error("no messages are taken: raise disk_budget, or let what is queued run", reason=full)
        elif full is None and self.full is not None:
            self._log.info("messages are taken again")
        self.full = full
        self._set_full(full)

    async def _over(self) -> int:
        """By how many bytes the budget is exceeded."""
        if self._clock.monotonic() >= self._files_until:
            self._files = await self._blobs.room()
            self._files_until = self._clock.monotonic() + _FILES_EVERY
        room = await self._store.room()
        if room.free is None:
            return int(room.total - max(self._budget - self._files, self._reached))
        return room.total - room.free + self._files - self._budget
