"""The statistics of flows: counted in memory together with the metrics, and stored once a second.

A node's row of a flow and a minute always has all that the node has counted of it, so writing it again changes nothing.
If the clock is set back, the node counts the minutes that come again in other rows.
"""

from collections.abc import Callable
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.storage.change_declarations import PutStatistics
from hookline.storage.statistics import ALL_FLOWS, MINUTE, Counts, FlowMinute, begin_of, total
from hookline.storage.store import Store
from hookline.telemetry.metrics import FlowCounts
from hookline.telemetry.store_problem import StoreProblem

EVERY: Final = 1.0
"""Seconds between two commits."""
LOOK_EVERY: Final = 10
"""The number of these seconds between two looks at the queues."""


class StatisticsRecord:
    """Stores the numbers of a node by the minute."""

    def __init__(
        self,
        counts: FlowCounts,
        store: Store,
        clock: Clock,
        log: Log,
        store_problem: StoreProblem,
        node: str,
        looks: Callable[[], bool],
    ) -> None:
        """`node`: a name that no other process has. `looks` returns true if this node looks at the queues for all."""
        self._counts = counts
        self._store = store
        self._clock = clock
        self._log = log
        self._store_problem = store_problem
        self._node = self._name = node
        self._looks = looks
        self._times_back = 0
        """The number of times that the clock was set back to an earlier minute."""
        self._minute = begin_of(clock.now(), MINUTE)
        self._flows: dict[str, Counts] = {}
        """The numbers of the minute."""
        self._changed: set[str] = set()
        """The flows whose numbers aren't stored yet."""

    async def run(self) -> None:
        """Store what is counted, until cancelled."""
        seconds = 0
        while True:
            await self._clock.sleep(EVERY)
            seconds += 1
            try:
                if seconds % LOOK_EVERY == 0 and self._looks():
                    await self._look()
                await self.flush()
            except StoreError as error:
                self._store_problem.report(error)

    async def close(self) -> None:
        """Store what is left. A failure is only logged."""
        try:
            await self.flush()
        except StoreError as error:
            self._log.warning("the last statistics are not recorded", error=error.message)

    async def flush(self) -> None:
        """Store what was counted since the last time. Raises StoreError; then the next call stores it.

        It belongs to the minute of this call, or if the store has failed meanwhile, to the one in which that began. So
        an outage of the store needs no more memory the longer it lasts.
        """
        minute = begin_of(self._clock.now(), MINUTE)
        if minute != self._minute and not self._changed:
            if minute < self._minute:
                # Its numbers of that minute are stored, and no longer here: under its name, these would replace them.
                self._times_back += 1
                self._name = f"{self._node}/{self._times_back}"
            self._minute, self._flows = minute, {}
        for flow_id, counts in self._counts.take().items():
            known = self._flows.get(flow_id)
            self._flows[flow_id] = counts if known is None else total((known, counts))
            self._changed.add(flow_id)
        if not self._changed:
            return
        changed = {flow_id: self._flows[flow_id] for flow_id in self._changed}
        changed[ALL_FLOWS] = total(self._flows.values())
        minutes = tuple(FlowMinute(flow_id, self._minute, counts) for flow_id, counts in changed.items())
        await self._store.commit((PutStatistics(self._name, minutes),))
        self._changed.clear()

    async def _look(self) -> None:
        now = self._clock.now()
        for flow_id, since in (await self._store.oldest_queued()).items():
            if since < now:
                self._counts.queued(flow_id, now - since)
