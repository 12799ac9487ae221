"""The sweeper removes unneeded data: the files of executions that ended long ago, files that no execution refers to,
because their request was rejected or the engine crashed, old callbacks, expired sessions, captured requests, and
old audit entries."""

from datetime import timedelta
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.maintenance.retention import CLOCKS_DIFFER, OldestUnstored, Purger, nothing_unstored
from hookline.model.access import AuditFilter
from hookline.storage.blobs import Blobs
from hookline.storage.captures import CAPTURED_KEPT
from hookline.storage.change_declarations import (
    ForgetAudit,
    ForgetCallbacks,
    ForgetCaptured,
    ForgetEarlyCallbacks,
    ForgetFiles,
    ForgetSessions,
)
from hookline.storage.store import Store

_YOUNGEST: Final = timedelta(hours=1)
_EVERY: Final = timedelta(minutes=15)
_PAGE: Final = 500
_AUDIT_COMMITS: Final = 200
"""The most commits of one sweep that remove audit entries."""


class Sweeper:
    """Sweep from time to time."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        log: Log,
        retention: timedelta,
        longest_request: timedelta,
        purger: Purger,
        audit_retention: timedelta,
        oldest_unstored: OldestUnstored = nothing_unstored,
    ) -> None:
        """`retention`: the time for which the files and the callbacks of an ended execution are kept.

        `audit_retention`: the time for which audit entries are kept, whatever the disk budget is.
        `longest_request`: the longest time of a request. A file is stored before the commit that refers to it, also by
        other processes, so files younger than twice this time may get a reference soon and are kept.
        `oldest_unstored`: a message in the intake queue refers to its files only when it is inserted, so files from one
        hour before the oldest one are kept.
        """
        self._oldest_unstored = oldest_unstored
        self._retention = retention
        self._purger = purger
        self._audit_retention = audit_retention
        self._age = max(_YOUNGEST, 2 * longest_request)
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log
        self._problem = OngoingProblem(log, clock, "sweeping failed; trying again later", "sweeping works again")

    async def run(self) -> None:
        """Sweep forever."""
        while True:
            await self._clock.sleep(_EVERY.total_seconds())
            try:
                await self._purger.purge()
                swept = await self.sweep()
            except (StoreError, OSError) as error:
                self._problem.noticed(error=str(error))
            else:
                self._problem.absent()
                if swept:
                    self._log.info("removed unreferenced files", files=swept)

    async def sweep(self) -> int:
        """Remove all unreferenced files that no open request can refer to; return their number.

        Executions that ended longer ago than the retention lose the references to their files first.
        """
        oldest = await self._oldest_unstored()
        await self._forget_calls()
        await self._forget_audit()
        await self._forget_sessions()
        await self._forget_captured()
        await self._forget()
        swept = 0
        page: list[str] = []
        before = self._clock.now() - self._age
        if oldest is not None:
            before = min(before, oldest - CLOCKS_DIFFER)
        async for blob_id in self._blobs.older_than(before):
            page.append(blob_id)
            if len(page) == _PAGE:
                swept += await self._remove(page)
                page = []
        return swept + await self._remove(page)

    async def _forget(self) -> None:
        """Remove the references first: a referenced file that is missing would be a lost file."""
        now = self._clock.now()
        ended_before = now - self._retention
        while ids := tuple(await self._store.executions_with_files(ended_before, _PAGE)):
            # The store keeps the files of an execution that was reopened in the meantime.
            await self._store.commit((ForgetFiles(ids, now),))
            self._log.info("the files of executions that ended long ago are released", executions=len(ids))

    async def _forget_calls(self) -> None:
        now = self._clock.now()
        await self._store.commit((ForgetEarlyCallbacks(now),))
        while ids := tuple(await self._store.executions_with_callbacks(now - self._retention, _PAGE)):
            await self._store.commit((ForgetCallbacks(ids),))

    async def _forget_audit(self) -> None:
        before = self._clock.now() - self._audit_retention
        for _ in range(_AUDIT_COMMITS):
            if not (await self._store.audit(AuditFilter(until=before), limit=1)).items:
                return
            await self._store.commit((ForgetAudit(before),))

    async def _forget_sessions(self) -> None:
        now = self._clock.now()
        while await self._store.has_expired_sessions(now):
            await self._store.commit((ForgetSessions(now),))

    async def _forget_captured(self) -> None:
        before = self._clock.now() - CAPTURED_KEPT
        while await self._store.has_old_captures(before):
            await self._store.commit((ForgetCaptured(before),))

    async def _remove(self, page: list[str]) -> int:
        referenced = frozenset(await self._store.referenced(page)) if page else frozenset()
        left = [blob_id for blob_id in page if blob_id not in referenced]
        for blob_id in left:
            await self._blobs.delete(blob_id)
        return len(left)
