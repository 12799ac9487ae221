"""The disk budget: purge ended executions where that makes room; else reject the messages of those who use it up."""

from collections.abc import Callable, Mapping
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.maintenance.retention import Purger
from hookline.maintenance.usage import Usage, measure_usage
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

_EVERY: Final = 10.0
"""Seconds."""
_REST: Final = 20
"""A measurement is followed by a rest of so many times as long as it took, unless the data grows meanwhile."""
_GROWTH: Final = 0.01
"""The part of the budget by which the data grows before it is measured again, and that a purge frees in addition."""
_WARN: Final = 0.25
"""The part of the budget above which dead letters are reported; up to this size, nothing needs to be measured."""
_SHARE: Final = 0.5
"""The part of the budget that one flow may use without having anything to purge."""

SetFull = Callable[[str | None, Mapping[str, str]], None]


class DiskBudget:
    """Compare the room that the flows use with the budget from time to time."""

    def __init__(
        self, store: Store, blobs: Blobs, purger: Purger, set_full: SetFull, clock: Clock, log: Log, budget: int
    ) -> None:
        """`set_full` is told the reasons why no message is accepted: of any flow, and of single flows.

        `budget`: bytes.
        """
        self._store = store
        self._blobs = blobs
        self._purger = purger
        self._set_full = set_full
        self._clock = clock
        self._log = log
        self._budget = budget
        self._files = 0
        self._files_until = float("-inf")
        self._on_disk = 0
        self._rests_until = float("-inf")
        self._warned = False
        self._problem = OngoingProblem(
            log, clock, "the disk budget can't be checked; trying again", "the disk budget can be checked again"
        )
        self.full: str | None = None
        """The reason why no flow accepts messages; None if flows do."""
        self.full_flows: Mapping[str, str] = {}
        """The reasons why single flows accept no messages."""
        self.usage: Usage | None = None
        """The last measurement; None if there was none, or none was needed."""

    async def run(self) -> None:
        """Keep within the budget forever: one node does so for all."""
        await self._repeat(lambda: True, purges=True)

    async def watch(self, purges: Callable[[], bool]) -> None:
        """Tell who may store messages forever, while another node purges.

        `purges` returns true while this node does both, in `run`.
        """
        await self._repeat(lambda: not purges(), purges=False)

    async def _repeat(self, mine: Callable[[], bool], *, purges: bool) -> None:
        while True:
            await self._clock.sleep(_EVERY)
            if not mine():
                continue
            try:
                on_disk = await self._measure_disk()
                grown = on_disk - self._on_disk >= self._budget * _GROWTH
                if grown or self._clock.monotonic() >= self._rests_until:
                    await self._check(on_disk, purges=purges)
            except (StoreError, OSError) as error:
                self._problem.noticed(error=str(error))
            else:
                self._problem.absent()

    async def check(self) -> None:
        """Measure, purge if that is enough to keep within the budget, and tell who may store messages.

        Raises StoreError and OSError.
        """
        await self._check(await self._measure_disk(), purges=True)

    async def _check(self, on_disk: int, *, purges: bool) -> None:
        """Tell who may store messages. `on_disk`: bytes. `purges`: this node makes room, and not another one.

        Raises StoreError and OSError.
        """
        began = self._clock.monotonic()
        self._on_disk = on_disk
        if on_disk <= self._budget * _WARN:
            self.usage = None
            self._tell(Usage())
            return
        usage = await measure_usage(self._store, self._blobs)
        if purges:
            usage = await self._purged(usage)
        self.usage = usage
        self._rests_until = self._clock.monotonic() + _REST * (self._clock.monotonic() - began)
        over = usage.total - self._budget
        # Another node makes room if it can.
        self._tell(usage, over if purges or over > usage.purgeable else 0)

    async def _purged(self, usage: Usage) -> Usage:
        """Purge until the data fits into the budget, as far as that is possible at all; return what is left."""
        gone = 0
        while 0 < (over := usage.total - self._budget) <= usage.purgeable:
            executions = await self._purge(usage, over + self._budget * _GROWTH)
            gone += executions
            if not executions:
                break
            if usage.total > self._budget:
                # Less was freed than expected: files were in use by others, or executions were reopened.
                usage = await measure_usage(self._store, self._blobs)
        if gone:
            self._files_until = float("-inf")
            self._on_disk = await self._measure_disk()
            self._log.warning(
                "executions were purged to keep within the disk budget", executions=gone, budget=self._budget
            )
        return usage

    async def _purge(self, usage: Usage, wanted: float) -> int:
        """Purge from the flow with the most purgeable data, then from the next one; return the number of executions."""
        gone = 0
        left = {flow_id: flow.purgeable for flow_id, flow in usage.flows.items() if flow.purgeable > 0}
        while wanted > 0 and left:
            (flow_id, most), *others = sorted(left.items(), key=lambda item: -item[1])
            next_ = others[0][1] if others else 0
            freed = await self._purger.free(flow_id, min(wanted, max(most - next_, self._budget * _GROWTH)))
            gone += freed.executions
            wanted -= freed.size
            usage.total -= freed.size
            usage.flows[flow_id].used -= freed.size
            usage.flows[flow_id].purgeable = max(0, most - freed.size)
            left[flow_id] = most - freed.size
            if freed.all or left[flow_id] <= 0:
                del left[flow_id]
        return gone

    def _tell(self, usage: Usage, over: int = 0) -> None:
        """Tell who may store messages. `over`: bytes above the budget that stay."""
        self._warn(usage)
        full: str | None = None
        if over > 0:
            full = f"{over:,} bytes above the disk budget of {self._budget:,} are stored, and purging can't free enough"
        flows = {
            flow_id: f"flow {flow_id!r} uses {flow.used:,} bytes, more than half of the disk budget of "
            f"{self._budget:,}, and has nothing to purge"
            for flow_id, flow in usage.flows.items()
            if flow.used > self._budget * _SHARE and flow.purgeable < self._budget * _GROWTH
        }
        if full is not None and self.full is None:
            self._log.error(
                "no messages are accepted: raise disk_budget, retry or discard dead letters, or let the queued and "
                "waiting executions end",
                reason=full,
            )
        elif full is None and self.full is not None:
            self._log.info("messages are accepted again")
        for flow_id in sorted(flows.keys() - self.full_flows.keys()):
            self._log.error(
                "a flow accepts no messages: raise disk_budget, retry or discard its dead letters, or let its queued "
                "and waiting executions end",
                flow_id=flow_id,
                reason=flows[flow_id],
            )
        for flow_id in sorted(self.full_flows.keys() - flows.keys()):
            self._log.info("a flow accepts messages again", flow_id=flow_id)
        self.full, self.full_flows = full, flows
        self._set_full(full, flows)

    def _warn(self, usage: Usage) -> None:
        """Warn once while dead letters use too much."""
        above = usage.dead_letters > self._budget * _WARN
        if above and not self._warned:
            most = max(usage.flows, key=lambda flow_id: usage.flows[flow_id].dead_letters)
            self._log.warning(
                "dead letters use more than a quarter of the disk budget, and are never purged: retry or discard them",
                bytes=usage.dead_letters,
                budget=self._budget,
                most_of=most,
            )
        self._warned = above

    async def _measure_disk(self) -> int:
        """Measure the bytes on the disk, which are cheap to find; the files are remembered for a while."""
        if self._clock.monotonic() >= self._files_until:
            began = self._clock.monotonic()
            self._files = await self._blobs.disk_usage()
            self._files_until = self._clock.monotonic() + _REST * (self._clock.monotonic() - began)
        room = await self._store.disk_usage()
        return room.total - (room.free or 0) + self._files
