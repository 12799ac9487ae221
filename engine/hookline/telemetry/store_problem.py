"""The problem of a store, or of the store of files, that can't be used: logged once when it begins, and when it ends.

Every part of the engine that uses them reports their failures here, and tries again by itself. While there is a
problem, both are asked again and again, so that its end is known even if nothing else uses them.
"""

import asyncio
from typing import Final

from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

EVERY: Final = 1.0
"""Seconds between two questions to a store that has a problem."""
WATCH: Final = 4.0
"""Seconds between two questions to stores that have no problem, if they are watched."""
QUIET: Final = STORE_RETRY + 1
"""Seconds without another failure after which a problem has ended, if the store works: those who failed try again
meanwhile."""
_PATIENCE: Final = 5.0
"""Seconds. A blob store tries again for longer."""


class StoreProblem:
    """The problem of an engine's stores, if they have one."""

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, log: Log, *, watches: bool = False) -> None:
        """With `watches`, the stores are asked from time to time, although nobody has reported a failure."""
        self._watches = watches
        self._answered = clock.monotonic()
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log
        self._begun: float | None = None
        self._worked: float | None = None
        """The time since which the stores work again; None while they don't."""
        self._store_answers = True
        self._reported = asyncio.Event()

    @property
    def present(self) -> bool:
        """True from the first failure until the stores work again."""
        return self._begun is not None

    @property
    def store_answers(self) -> bool:
        """False from a failure that is known to be the store's until it answers again; files may have a problem."""
        return self._store_answers

    def note_answer(self) -> None:
        """Note that the store itself has answered just now."""
        self._answered = self._clock.monotonic()
        self._store_answers = True

    def unanswered_for(self) -> float:
        """Seconds since the store itself last answered, if there is a problem and it is watched; 0 while there is
        none."""
        return 0.0 if self._begun is None else self._clock.monotonic() - self._answered

    def report(self, error: StoreError, **about: object) -> None:
        """Note that one of the stores failed. `about`: what failed with it, for the log."""
        self._worked = None
        self._reported.set()
        if self._begun is None:
            self._begun = self._clock.monotonic()
            self._log.error("the store can't be used", error=error.message, **about)

    def report_store(self, error: StoreError, **about: object) -> None:
        """Note that the store itself failed, and not the store of files."""
        self._store_answers = False
        self.report(error, **about)

    async def run(self) -> None:
        """Look for the ends of problems, until cancelled."""
        while True:
            await self._next()
            try:
                await self._ask()
            except (StoreError, TimeoutError) as error:
                self._worked = None
                if self._begun is None:
                    self.report(error if isinstance(error, StoreError) else StoreError("the blob store doesn't answer"))
            else:
                self._note_works()
            await self._clock.sleep(EVERY)

    async def _ask(self) -> None:
        """Return if both stores work. Raises StoreError, and TimeoutError if the store of files doesn't answer."""
        try:
            await self._store.ping()
        except StoreError:
            self._store_answers = False
            raise
        self.note_answer()
        async with asyncio.timeout(_PATIENCE):
            await self._blobs.ping()

    async def _next(self) -> None:
        """Return when the stores have to be asked."""
        if self._watches and not self._reported.is_set():
            await self._clock.sleep(WATCH)
        else:
            await self._reported.wait()

    def _note_works(self) -> None:
        now = self._clock.monotonic()
        if self._worked is None:
            self._worked = now
        elif self._begun is not None and now - self._worked >= QUIET:
            self._log.warning("the store can be used again", seconds=round(self._worked - self._begun, 1))
            self._begun = self._worked = None
            self._reported.clear()
