"""The backlog: how many executions are queued, the limits on them, and how fast they leave the queue."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.limits import BacklogLimit, Throughput
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import TooManyRequests
from hookline.kernel.suggestions_and_counts import counted
from hookline.storage.cluster import Alone

_PARTS_LATER: Final = 2.0
"""Seconds after which this node has parts of a limit that other nodes don't need."""


class Backlog:
    """The numbers of queued executions, of each flow and of all flows, and the limits on them.

    With other nodes, the limit of a flow has parts (`BacklogLimit`), so that it holds over all nodes.
    """

    def __init__(
        self, clock: Clock, max_backlog: int, max_backlog_total: int, limits: SharedLimits | None = None
    ) -> None:
        """`max_backlog`: the limit of a flow that sets none. `limits`: those that this node shares with others."""
        self.limits = limits or SharedLimits(clock, Alone())
        self._clock = clock
        self._max = max_backlog
        self._max_total = max_backlog_total
        self._queued: dict[str, int] = {}
        self._total = 0
        self.uncertain = False
        """The numbers may be wrong, since the outcome of a commit that changed the queue isn't known."""
        self.changes = 0
        """Grows with each change of a number, and each time the numbers become uncertain."""
        self._throughputs: dict[str, Throughput] = {}
        self._throughput = Throughput(clock.monotonic())

    def of(self, flow_id: str) -> int:
        """The number of queued executions of a flow."""
        return self._queued.get(flow_id, 0)

    def _parts(self, flow_id: str, limit: int | None = None) -> BacklogLimit | None:
        """Return the limit on the queue of a flow on this node; None if it isn't shared with other nodes."""
        return self.limits.backlog(flow_id, limit) if self.limits.shared else None

    def count(self, flow_id: str, change: int) -> None:
        """Count executions that enter the queue, or leave it without running."""
        before = self._queued.get(flow_id, 0)
        after = self._queued[flow_id] = max(0, before + change)
        self._total += after - before
        self.changes += 1

    def doubt(self) -> None:
        """Note that the numbers may be wrong, until the store has counted."""
        self.uncertain = True
        self.changes += 1

    def reserve(self, flow_id: str) -> None:
        """Count a message whose storing begins; `settle` ends it."""
        self.count(flow_id, 1)
        parts = self._parts(flow_id)
        if parts is not None:
            parts.use()

    def settle(self, flow_id: str, *, queued: bool | None) -> None:
        """Count a message no more, unless it is queued; `queued` is None if nobody knows whether it is."""
        if not queued:
            self.count(flow_id, -1)
        if queued is None:
            self.doubt()
        parts = self._parts(flow_id)
        if parts is not None:
            if queued is False:
                parts.give_back()
            else:
                parts.stored()

    def enter(self, flow_id: str) -> None:
        """Count a message that is queued whatever the limit is."""
        self.count(flow_id, 1)
        parts = self._parts(flow_id)
        if parts is not None:
            parts.use()
            parts.stored()

    def set_all(self, counts: Mapping[str, int], since: int) -> None:
        """Set the numbers of all flows, as the store has counted them. `since`: `changes` before it counted.

        They stay uncertain if a number was wrong. They also do if something has changed since then: nobody knows
        whether the store counted before that or after it.
        """
        self.uncertain = (self.uncertain and self.changes != since) or any(
            counts.get(flow_id, 0) != self.of(flow_id) for flow_id in self._queued.keys() | counts.keys()
        )
        for flow_id in self._queued.keys() | counts.keys():
            self.count(flow_id, counts.get(flow_id, 0) - self.of(flow_id))

    def left_queue(self, flow_id: str) -> None:
        """Count one execution that has left the queue to run."""
        self.count(flow_id, -1)
        now = self._clock.monotonic()
        self._throughput.count(now)
        self._throughput_of(flow_id, now).count(now)

    @contextmanager
    def leaving(self, flow_id: str) -> Iterator[Callable[[], None]]:
        """Give a function to call when an execution has left the queue; it must be called within the context, if at
        all."""
        parts = self._parts(flow_id)
        ends = parts is not None and parts.begin_leaving()
        known = False

        def left() -> None:
            nonlocal ends, known
            known = True
            self.left_queue(flow_id)
            if parts is not None and ends:
                parts.end_leaving(left=True)
                ends = False

        try:
            yield left
        finally:
            # Its commit may have failed in doubt, and taken place.
            if not known:
                self.doubt()
            if parts is not None and ends:
                parts.end_leaving(left=False)

    def limit(self, flow: CompiledFlow) -> int:
        """The most executions that a flow may have queued."""
        return flow.settings.max_queued or self._max

    def room(self, flow: CompiledFlow) -> int:
        """The number of messages of a flow that may be queued now; below 0 above a limit."""
        room = min(self.limit(flow) - self.of(flow.id), self._max_total - self._total)
        parts = self._parts(flow.id, self.limit(flow))
        return room if parts is None else min(room, parts.room())

    def seconds_until_room(self, flow: CompiledFlow, count: int) -> float:
        """Seconds after which so many messages may be queued; 0 if they may now, or if nothing else is queued."""
        queued, limit, now = self.of(flow.id), self.limit(flow), self._clock.monotonic()
        if queued and queued + count > limit:
            return self._throughput_of(flow.id, now).wait(queued, limit, now)
        if self._total and self._total + count > self._max_total:
            return self._throughput.wait(self._total, self._max_total, now)
        parts = self._parts(flow.id, limit)
        if parts is not None and count > parts.room() and (queued or count <= limit):
            self.limits.missed(parts, count)
            return _PARTS_LATER
        return 0.0

    def note_rejected(self, flow: CompiledFlow) -> None:
        """Note a rejected message, if this node has no parts of the limit."""
        parts = self._parts(flow.id)
        if parts is not None and not parts.room():
            self.limits.missed(parts)

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
        parts = self._parts(flow.id, limit)
        if parts is not None and not parts.room():
            return TooManyRequests(
                f"flow {flow.id!r} has {counted(limit, 'message')} queued, or other nodes may queue the rest",
                retry_after=_PARTS_LATER,
            )
        return None

    def _throughput_of(self, flow_id: str, now: float) -> Throughput:
        throughput = self._throughputs.get(flow_id)
        if throughput is None:
            throughput = self._throughputs[flow_id] = Throughput(now)
        return throughput
