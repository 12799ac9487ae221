"""The events of executions and captures, which are sent to listeners. Without listeners, no events are made.

With several nodes, the events of each node go to the listeners of all nodes (`hookline.telemetry.node_broadcasts`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from hookline.kernel.clocks import Clock, SystemClock, rfc3339
from hookline.model.execution import Outcome, State, StepRecord, StepState
from hookline.storage.captures import CapturedInfo
from hookline.storage.change_declarations import Accept, Change, End, Park, RecordSteps, Start

KEPT: Final = 1000
"""The number of events that are kept for listeners that read slowly or reconnect."""
LINGER: Final = 60.0
"""The seconds for which events are kept after the last listener has left, because it may reconnect."""
GAP: Final = "gap"
"""The kind of the event that marks a place at which events are missing, and their number as far as it is known."""


class Event(msgspec.Struct, frozen=True):
    """Something that has happened and is durable."""

    id: str
    kind: str
    flow_id: str
    data: dict[str, Any]


class EventListener:
    """One listener. It is told the number of events that it didn't read in time."""

    def __init__(self, flows: Collection[str] | None) -> None:
        """`flows`: it is told only of these; None for all."""
        self._flows = flows
        self._events: deque[Event] = deque()
        self._missed = 0
        self._signal = asyncio.Event()
        self.closed = False

    def tell(self, event: Event) -> None:
        """Add an event."""
        if self._flows is not None and event.flow_id not in self._flows:
            return
        self._add(event)

    def _add(self, event: Event) -> None:
        if len(self._events) == KEPT:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._signal.set()

    def gap(self, count: int) -> None:
        """Mark that so many events, of whichever flows, are missing between those before and those after."""
        self._add(Event("", GAP, "", {"count": count}))

    def missed(self, count: int) -> None:
        """Note that it has missed at least so many events."""
        self._missed += count
        self._signal.set()

    def close(self) -> None:
        """End the events."""
        self.closed = True
        self._signal.set()

    def take(self) -> list[Event]:
        """Return the events since the last call."""
        taken = list(self._events)
        self._events.clear()
        if self._missed:
            taken.insert(0, Event("", GAP, "", {"count": self._missed}))
            self._missed = 0
        self._signal.clear()
        return taken

    async def wait(self, clock: Clock, seconds: float) -> bool:
        """Wait until there are events or the listener is closed. Return False after so many seconds without either."""
        if self.closed or self._signal.is_set():
            return True
        tasks = (asyncio.ensure_future(self._signal.wait()), asyncio.ensure_future(clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return self._signal.is_set()


class Events:
    """Sends the events of one engine to its listeners, on one event loop."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock = clock or SystemClock()
        self._listeners: set[EventListener] = set()
        self._recent: deque[Event] = deque(maxlen=KEPT)
        self._epoch = f"{int(clock.now().timestamp() * 1000):x}"
        self._count = 0
        self._fading: asyncio.TimerHandle | None = None
        self._elsewhere: asyncio.TimerHandle | None = None
        """Ends the time for which other nodes need events."""
        self.outlet: Callable[[Event], None] | None = None
        """Sends an event of this node to the others, while they need it."""
        self.on_listen: Callable[[], None] | None = None
        """Called when somebody begins to listen here."""
        self.listening = False
        """True if events are needed. Check it before making an event."""

    @contextmanager
    def listen(self, flows: Collection[str] | None = None, after: str | None = None) -> Iterator[EventListener]:
        """Listen to the executions of some flows, or of all. `after`: the id of the last event received before."""
        listener = EventListener(flows)
        if after is not None:
            self._catch_up(listener, after)
        if self._fading is not None:
            self._fading.cancel()
            self._fading = None
        self._listeners.add(listener)
        self.listening = True
        if self.on_listen is not None:
            self.on_listen()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self.listening:
                self._fading = asyncio.get_running_loop().call_later(LINGER, self._fade)

    @property
    def heard_here(self) -> bool:
        """True if somebody listens on this node, or may reconnect."""
        return bool(self._listeners) or self._fading is not None

    def listen_elsewhere(self, seconds: float) -> None:
        """Make events for another node, for a number of seconds."""
        if self._elsewhere is not None:
            self._elsewhere.cancel()
        self._elsewhere = asyncio.get_running_loop().call_later(seconds, self._nobody_elsewhere)
        self.listening = True

    def repeat(self, event: Event, dropped: int) -> None:
        """Send an event of another node; `dropped`: the number of events before it that were dropped on their way."""
        if not self.heard_here:
            return
        if dropped:
            for listener in self._listeners:
                listener.gap(dropped)
        self._keep(event.kind, event.flow_id, event.data)

    def committed(self, flow_id: str, execution_id: str, changes: Sequence[Change]) -> None:
        """Send the events of changes that were committed."""
        if not self.listening:
            return
        for change in changes:
            match change:
                case Accept(envelope):
                    self._tell("execution.queued", envelope.flow_id, envelope.execution_id)
                case Start(_, version):
                    self._tell("execution.started", flow_id, execution_id, flow_version=version)
                case RecordSteps(_, steps):
                    for step in steps:
                        self._step(flow_id, execution_id, step)
                case Park(_, _, ready_at, reason):
                    at = None if ready_at is None else rfc3339(ready_at)
                    self._tell("execution.waiting", flow_id, execution_id, reason=reason, ready_at=at)
                case End(_, state, outcome, _, error):
                    told = None if error is None else msgspec.to_builtins(error)
                    self.ended(flow_id, execution_id, state, outcome, told)

    def accepted(self, flow_id: str, execution_id: str) -> None:
        """Send the event of an accepted message."""
        self._tell("execution.queued", flow_id, execution_id)

    def reopened(self, flow_id: str, execution_id: str) -> None:
        """Send the event of a failed execution that runs again."""
        self._tell("execution.waiting", flow_id, execution_id, reason="reopened", ready_at=None)

    def ended(
        self, flow_id: str, execution_id: str, state: State, outcome: Outcome, error: dict[str, Any] | None = None
    ) -> None:
        """Send the event of the end of an execution."""
        self._tell("execution.ended", flow_id, execution_id, state=state.value, outcome=outcome.value, error=error)

    def captured(self, request: CapturedInfo) -> None:
        """Send the event of a captured request."""
        self._send(
            "request.captured",
            request.flow_id,
            {
                "flow_id": request.flow_id,
                "at": rfc3339(request.at),
                "request_id": request.id,
                "method": request.method,
                "path": request.path,
                "result": request.result,
                "status": request.status,
            },
        )

    def close(self) -> None:
        """Close all listeners."""
        self.listening = False
        if self._fading is not None:
            self._fading.cancel()
            self._fading = None
        if self._elsewhere is not None:
            self._elsewhere.cancel()
            self._elsewhere = None
        for listener in self._listeners:
            listener.close()

    def _step(self, flow_id: str, execution_id: str, step: StepRecord) -> None:
        waits = step.state is StepState.WAITING and step.error is None
        if waits or step.state is StepState.STARTED:
            return
        error = None if step.error is None else {"code": step.error.code, "message": step.error.message}
        told = {"id": step.id, "path": step.path, "use": step.use, "state": step.state.value, "attempt": step.attempt}
        self._tell("step.finished", flow_id, execution_id, step=told | {"error": error})

    def _tell(self, kind: str, flow_id: str, execution_id: str, **more: Any) -> None:
        if self.listening:
            at = rfc3339(self._clock.now())
            self._send(kind, flow_id, {"execution_id": execution_id, "flow_id": flow_id, "at": at, **more})

    def _send(self, kind: str, flow_id: str, data: dict[str, Any]) -> None:
        if not self.listening:
            return
        event = self._keep(kind, flow_id, data)
        if self._elsewhere is not None and self.outlet is not None:
            self.outlet(event)

    def _keep(self, kind: str, flow_id: str, data: dict[str, Any]) -> Event:
        """Send an event to the listeners of this node, and keep it for those that reconnect."""
        self._count += 1
        event = Event(f"{self._epoch}-{self._count}", kind, flow_id, data)
        if self.heard_here:
            self._recent.append(event)
            for listener in self._listeners:
                listener.tell(event)
        return event

    def _catch_up(self, listener: EventListener, after: str) -> None:
        epoch, _, number = after.partition("-")
        last = int(number) if epoch == self._epoch and number.isascii() and number.isdecimal() else -1
        first = self._count - len(self._recent) + 1
        if not 0 <= last <= self._count or last < first - 1 or not self.listening:
            # The id is of an earlier start of the server, or too old, so the number of missed events isn't known.
            listener.missed(max(first - 1 - last, 1) if last >= 0 else 1)
            last = max(last, first - 1)
        for event in list(self._recent)[max(0, last - first + 1) :]:
            listener.tell(event)

    def _fade(self) -> None:
        self._fading = None
        self.listening = self._elsewhere is not None
        self._recent.clear()

    def _nobody_elsewhere(self) -> None:
        self._elsewhere = None
        self.listening = self.heard_here
