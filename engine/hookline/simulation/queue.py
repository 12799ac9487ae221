"""The queue and the timers of a simulation: ready executions run at once, and time jumps to the next due one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hookline.model.execution import FINAL, State
from hookline.model.message import Envelope
from hookline.simulation.clock import CaseClock
from hookline.simulation.memory_store import MemoryStore
from hookline.storage.change_declarations import Start
from hookline.storage.queue import Delivery


@dataclass(slots=True)
class _Delivery:
    execution_id: str
    flow_id: str
    fresh: bool
    again: Callable[[float], None]
    envelope: Envelope | None = None
    start: Start | None = None

    @property
    def current(self) -> bool:
        """True: a simulation has no lease to lose."""
        return True

    async def ack(self) -> None:
        """Do nothing: the delivery isn't stored."""

    async def redeliver(self, after: float) -> None:
        """Deliver it again."""
        self.again(after)


class SimulatedQueue:
    """Runs the executions, each in a task of its own."""

    def __init__(
        self,
        store: MemoryStore,
        clock: CaseClock,
        knows: Callable[[str], bool],
        run: Callable[[Delivery], Awaitable[None]],
    ) -> None:
        """`knows` returns true for an execution of the simulation; `run` is the runner's method."""
        self._store = store
        self._clock = clock
        self._knows = knows
        self._run_delivery = run
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self.over = asyncio.Event()
        """Nothing is delivered any more."""

    def close(self) -> Sequence[asyncio.Task[None]]:
        """Cancel the running executions, and return their tasks, to be awaited."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        return running

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Run an execution, or run it again once its present run has reached a wait."""
        if self._knows(execution_id):
            self.deliver(execution_id)

    def notice(self, at: datetime) -> None:
        """Wake the due executions once this time has come."""
        self._clock.call_at(at, self._wake_due)

    def _wake_due(self) -> None:
        for execution in self._store.due(self._clock.now()):
            self.deliver(execution.id)

    def deliver(self, execution_id: str) -> None:
        """Run an execution now, or run it again if it is running."""
        if self.over.is_set():
            return
        if execution_id in self._running:
            self._again.add(execution_id)
        else:
            self._running[execution_id] = asyncio.create_task(self._run(execution_id))

    async def _run(self, execution_id: str) -> None:
        try:
            while True:
                self._again.discard(execution_id)
                execution = await self._store.execution(execution_id)
                if execution is None or execution.state in FINAL:
                    return
                fresh = execution.state is State.QUEUED
                await self._run_delivery(_Delivery(execution_id, execution.flow_id, fresh, self._retry(execution_id)))
                if execution_id not in self._again:
                    return
        finally:
            del self._running[execution_id]

    def _retry(self, execution_id: str) -> Callable[[float], None]:
        return lambda after: self._clock.call_at(
            self._clock.now() + timedelta(seconds=after), lambda: self.deliver(execution_id)
        )
