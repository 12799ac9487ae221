"""The statistics of flows: counted in memory together with the metrics, and stored once a second.

A node's row of a flow and a minute always has all that the node has counted of it, so writing it again changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.model.execution import State
from hookline.storage.changes import PutStatistics
from hookline.storage.statistics import ALL_FLOWS, BUCKETS, MINUTE, Counts, FlowMinute, begin_of, latency_bucket, total
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

EVERY: Final = 1.0
"""Seconds between two commits."""
LOOK_EVERY: Final = 10
"""The number of these seconds between two looks at the queues."""


class _Tally:
    """The numbers of a flow since they were taken."""

    __slots__ = ("accepted", "ended", "latency", "queue_age", "rejected")

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected = 0
        self.ended = {State.SUCCEEDED: 0, State.FAILED: 0, State.CANCELLED: 0}
        self.queue_age = timedelta(0)
        self.latency = [0] * BUCKETS

    def counts(self) -> Counts:
        return Counts(
            accepted=self.accepted,
            rejected=self.rejected,
            succeeded=self.ended[State.SUCCEEDED],
            failed=self.ended[State.FAILED],
            cancelled=self.ended[State.CANCELLED],
            queue_age=self.queue_age,
            latency=tuple(self.latency),
        )


class FlowCounts:
    """Counts what happens in the flows of one engine."""

    def __init__(self) -> None:
        self._tallies: defaultdict[str, _Tally] = defaultdict(_Tally)

    def accepted(self, flow_id: str) -> None:
        """Count an accepted message."""
        self._tallies[flow_id].accepted += 1

    def rejected(self, flow_id: str) -> None:
        """Count a rejected request."""
        self._tallies[flow_id].rejected += 1

    def ended(self, flow_id: str, state: State, latency: timedelta) -> None:
        """Count an execution that has ended. `latency`: the time since its acceptance."""
        tally = self._tallies[flow_id]
        tally.ended[state] += 1
        tally.latency[latency_bucket(latency)] += 1

    def queued(self, flow_id: str, age: timedelta) -> None:
        """Note the age of the oldest queued execution."""
        tally = self._tallies[flow_id]
        tally.queue_age = max(tally.queue_age, age)

    def take(self) -> dict[str, Counts]:
        """Return the numbers since the last call, by flow."""
        taken = {flow_id: tally.counts() for flow_id, tally in self._tallies.items()}
        self._tallies.clear()
        return taken


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
        self._node = node
        self._looks = looks
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
        await self._store.commit((PutStatistics(self._node, minutes),))
        self._changed.clear()

    async def _look(self) -> None:
        now = self._clock.now()
        for flow_id, since in (await self._store.oldest_queued()).items():
            if since < now:
                self._counts.queued(flow_id, now - since)
