"""The backlog: how many executions are queued, the limits on them, and how fast they leave the queue."""

from collections.abc import Mapping

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.limits import Throughput
from hookline.kernel.errors import TooManyRequests
from hookline.kernel.suggest import counted
from hookline.kernel.time import Clock


class Backlog:
    """The numbers of queued executions, of each flow and of all flows, and the limits on them."""

    def __init__(self, clock: Clock, max_backlog: int, max_backlog_total: int) -> None:
        """`max_backlog`: the limit of a flow that sets none."""
        self._clock = clock
        self._max = max_backlog
        self._max_total = max_backlog_total
        self._queued: dict[str, int] = {}
        self._total = 0
        self._throughputs: dict[str, Throughput] = {}
        self._throughput = Throughput(clock.monotonic())

    def of(self, flow_id: str) -> int:
        """The number of queued executions of a flow."""
        return self._queued.get(flow_id, 0)

    def count(self, flow_id: str, change: int) -> None:
        """Count executions that enter the queue, or leave it without running."""
        before = self._queued.get(flow_id, 0)
        after = self._queued[flow_id] = max(0, before + change)
        self._total += after - before

    def set_all(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of all flows, which other nodes change, too."""
        for flow_id in self._queued.keys() | counts.keys():
            self.count(flow_id, counts.get(flow_id, 0) - self.of(flow_id))

    def left_queue(self, flow_id: str) -> None:
        """Count one execution that has left the queue to run."""
        self.count(flow_id, -1)
        now = self._clock.monotonic()
        self._throughput.count(now)
        self._throughput_of(flow_id, now).count(now)

    def limit(self, flow: CompiledFlow) -> int:
        """The most executions that a flow may have queued."""
        return flow.settings.max_queued or self._max

    def room(self, flow: CompiledFlow) -> int:
        """The number of messages of a flow that may be queued now; below 0 above a limit."""
        return min(self.limit(flow) - self.of(flow.id), self._max_total - self._total)

    def seconds_until_room(self, flow: CompiledFlow, count: int) -> float:
        """Seconds after which so many messages may be queued; 0 if they may now, or if nothing else is queued."""
        queued, limit, now = self.of(flow.id), self.limit(flow), self._clock.monotonic()
        if queued and queued + count > limit:
            return self._throughput_of(flow.id, now).wait(queued, limit, now)
        if self._total and self._total + count > self._max_total:
            return self._throughput.wait(self._total, self._max_total, now)
        return 0.0

    def rejection(self, flow: CompiledFlow) -> TooManyRequests | None:
        """The error for a message above a limit."""
        limit = flow.settings.max_queued or self._max
        if (queued := self._queued.get(flow.id, 0)) >= limit:
            now = self._clock.monotonic()
            wait = self._throughput_of(flow.id, now).wait(queued, limit, now)
            return TooManyRequests(f"flow {flow.id!r} has {counted(limit, 'message')} queued", retry_after=wait)
        if self._total >= self._max_total:
            wait = self._throughput.wait(self._total, self._max_total, self._clock.monotonic())
            return TooManyRequests(f"the server has {counted(self._max_total, 'message')} queued", retry_after=wait)
        return None

    def _throughput_of(self, flow_id: str, now: float) -> Throughput:
        throughput = self._throughputs.get(flow_id)
        if throughput is None:
            throughput = self._throughputs[flow_id] = Throughput(now)
        return throughput
