"""Removing what nobody needs: files of executions that ended long ago, and those that no execution refers to, left by
rejected requests or by a crash; calls that came for executions long ago, or for none in time."""

from datetime import timedelta
from typing import Final

from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.maintenance.retention import Purger
from hookline.storage.blobs import Blobs
from hookline.storage.changes import ForgetCallbacks, ForgetEarlyCallbacks, ForgetFiles
from hookline.storage.store import Store

_YOUNGEST: Final = timedelta(hours=1)
_EVERY: Final = timedelta(minutes=15)
_PAGE: Final = 500


class Sweeper:
    """Sweeps from time to time."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        log: Log,
        retention: timedelta,
        longest_request: timedelta,
        purger: Purger,
    ) -> None:
        """`retention`: for how long the files of an execution, and what was called, are kept once it has ended.

        `longest_request`: what a request may take. Files are on disk before the commit that refers to them, and other
        processes may be receiving them: what is younger than twice that may be about to be referred to.
        """
        self._retention = retention
        self._purger = purger
        self._age = max(_YOUNGEST, 2 * longest_request)
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log

    async def run(self) -> None:
        """Sweep, for ever."""
        while True:
            await self._clock.sleep(_EVERY.total_seconds())
            try:
                await self._purger.purge()
                swept = await self.sweep()
            except (StoreError, OSError) as error:
                self._log.error("sweeping failed; trying again later", error=str(error))
            else:
                if swept:
                    self._log.info("swept files that nothing refers to", files=swept)

    async def sweep(self) -> int:
        """Remove every file that nothing refers to and no request can be bringing; gives their number.

        Files of executions that ended longer ago than they are kept lose what refers to them first.
        """
        await self._forget_calls()
        await self._forget()
        swept = 0
        page: list[str] = []
        async for blob_id in self._blobs.older_than(self._clock.now() - self._age):
            page.append(blob_id)
            if len(page) == _PAGE:
                swept += await self._remove(page)
                page = []
        return swept + await self._remove(page)

    async def _forget(self) -> None:
        """Let the executions go first: a file that is gone and still referred to would be a file that was lost."""
        now = self._clock.now()
        ended_before = now - self._retention
        while ids := tuple(await self._store.executions_with_files(ended_before, _PAGE)):
            # The store itself sees to it that one that was reopened meanwhile keeps its files.
            await self._store.commit((ForgetFiles(ids, now),))
            self._log.info("files of executions that ended long ago are given up", executions=len(ids))

    async def _forget_calls(self) -> None:
        now = self._clock.now()
        await self._store.commit((ForgetEarlyCallbacks(now),))
        while ids := tuple(await self._store.executions_with_callbacks(now - self._retention, _PAGE)):
            await self._store.commit((ForgetCallbacks(ids),))

    async def _remove(self, page: list[str]) -> int:
        referenced = frozenset(await self._store.referenced(page)) if page else frozenset()
        left = [blob_id for blob_id in page if blob_id not in referenced]
        for blob_id in left:
            await self._blobs.delete(blob_id)
        return len(left)
