"""Whether messages can be stored now: what `/readyz` says."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from hookline.kernel.errors import StoreError
from hookline.kernel.merge_logger import Log
from hookline.kernel.time import Clock
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

FILES_EVERY: Final = 30.0
"""Seconds for which what was found out about the blob store holds: a bucket takes money for each answer."""
_FILES_TIMEOUT: Final = 5.0
"""Seconds. Probes are given up after few, and a blob store tries again for longer."""


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing can be stored."""

    status: str
    """For everybody."""
    reason: str
    """For operators alone."""


class Readiness:
    """Finds out, and logs each trouble once. One for each server."""

    def __init__(
        self, store: Store, blobs: Blobs, clock: Clock, log: Log, full: Callable[[], str | None] = lambda: None
    ) -> None:
        """`full` says why nothing more may be stored, where that is so."""
        self._full = full
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log
        self._known: Trouble | None = None
        self._files: Trouble | None = None
        self._files_until = float("-inf")

    async def trouble(self) -> Trouble | None:
        """What is in the way; None where nothing is."""
        found = await self._of_store() or await self._of_files() or self._of_budget()
        if found is not None and found != self._known:
            self._log.error(found.status, error=found.reason)
        self._known = found
        return found

    async def _of_store(self) -> Trouble | None:
        try:
            await self._store.ping()
        except StoreError as error:
            return Trouble("the store can't be used", error.message)
        return None

    def _of_budget(self) -> Trouble | None:
        full = self._full()
        return None if full is None else Trouble("the disk budget is used up", full)

    async def _of_files(self) -> Trouble | None:
        now = self._clock.monotonic()
        if now >= self._files_until:
            # Those who ask meanwhile are told what was known before.
            self._files_until = now + FILES_EVERY
            try:
                async with asyncio.timeout(_FILES_TIMEOUT):
                    await self._blobs.ping()
            except (StoreError, TimeoutError) as error:
                reason = error.message if isinstance(error, StoreError) else f"no answer in {_FILES_TIMEOUT:g} s"
                self._files = Trouble("files can't be kept", reason)
            else:
                self._files = None
        return self._files
