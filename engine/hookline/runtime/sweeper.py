"""Removing files that no execution refers to: left by requests that were refused, or by a crash."""

from datetime import timedelta
from typing import Final

from hookline.clock import Clock
from hookline.connector import Log
from hookline.errors import StoreError
from hookline.ports import Blobs, Store

#: Blobs are on disk before the commit that refers to them; none takes longer than this to be referred to.
_AGE: Final = timedelta(hours=1)
_EVERY: Final = timedelta(minutes=15)
_PAGE: Final = 500


class Sweeper:
    """Sweeps from time to time."""

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, log: Log) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log

    async def run(self) -> None:
        """Sweep, for ever."""
        while True:
            await self._clock.sleep(_EVERY.total_seconds())
            try:
                swept = await self.sweep()
            except (StoreError, OSError) as error:
                self._log.error("sweeping failed; trying again later", error=str(error))
            else:
                if swept:
                    self._log.info("swept files that nothing refers to", files=swept)

    async def sweep(self) -> int:
        """Remove every file older than an hour that nothing refers to; gives their number."""
        swept = 0
        page: list[str] = []
        async for blob_id in self._blobs.older_than(self._clock.now() - _AGE):
            page.append(blob_id)
            if len(page) == _PAGE:
                swept += await self._remove(page)
                page = []
        return swept + await self._remove(page)

    async def _remove(self, page: list[str]) -> int:
        referenced = frozenset(await self._store.referenced(page)) if page else frozenset()
        left = [blob_id for blob_id in page if blob_id not in referenced]
        for blob_id in left:
            await self._blobs.delete(blob_id)
        return len(left)
