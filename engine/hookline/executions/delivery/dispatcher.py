"""The dispatcher: run the executions that the durable queue delivers, with one bounded lane for each flow."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from hookline.executions.delivery.runner import Runner
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.storage.change_declarations import Start
from hookline.storage.queue import Delivery, Queue
from hookline.telemetry.store_problem import StoreProblem

TOTAL: Final = 2048
"""The number of executions that run at the same time, over all flows."""
#: Seconds until a lane is read again after an error of the backend.
_AGAIN: Final = 1.0
#: Seconds until an execution that ignored its cancellation is cancelled again.
_INSIST: Final = 1.0


@dataclass(slots=True)
class _Lane:
    """The deliveries of one flow. Each flow that is served has a lane, so it is kept small."""

    slots: "LaneSlots"
    concurrency: int
    begun_only: bool
    everywhere: bool
    """The concurrency holds over all nodes."""
    waiting: bool = False
    """A delivery waits for a slot."""
    task: asyncio.Task[None] | None = None


class Dispatcher:
    """Keep a lane for each flow, and run the deliveries of all lanes."""

    def __init__(
        self,
        queue: Queue,
        runner: Runner,
        clock: Clock,
        log: Log,
        store_problem: StoreProblem,
        published: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`published`: the current version of each flow, as far as it is stored."""
        self._queue = queue
        self._runner = runner
        self._clock = clock
        self._log = log
        self._published = published
        self._defect = OngoingProblem(
            log, clock, "defect of the queue of a flow; trying again", "the queue of a flow works again"
        )
        self._store_problem = store_problem
        self._lanes: dict[str, _Lane] = {}
        self._left: dict[str, LaneSlots] = {}
        """The slots of flows without a lane whose executions still run."""
        self._running: set[asyncio.Task[None]] = set()
        self._slots = FairSlots()
        self._stopped = False

    @property
    def running(self) -> int:
        """The number of running executions."""
        return len(self._running)

    async def open(self, flow_id: str, concurrency: int, *, begun_only: bool = False, everywhere: bool = False) -> None:
        """Run the deliveries of a flow with this concurrency; `begun_only`: only those of started executions.

        `everywhere`: the concurrency holds over all nodes.
        """
        lane, wanted = self._lanes.get(flow_id), (concurrency, begun_only, everywhere)
        if lane is not None and (lane.concurrency, lane.begun_only, lane.everywhere) == wanted:
            return
        await self.close(flow_id)
        # The slots of running executions count for the new lane, too.
        slots = self._left.pop(flow_id, None) or LaneSlots()
        slots.allow(concurrency)
        lane = _Lane(slots, *wanted)
        lane.task = asyncio.create_task(self._serve(flow_id, lane), name=f"lane {flow_id}")
        self._lanes[flow_id] = lane

    def place(self, flow: CompiledFlow, execution_id: str) -> "TakenSlots | None":
        """Take slots for an execution whose message is being accepted; None if it has to wait for its turn.

        Starting in the commit that stores the message saves a second commit. It is only done if the accepting version
        is the published one.
        """
        lane = self._lanes.get(flow.id)
        if lane is None or lane.begun_only or self._published.get(flow.id) != flow.version:
            return None
        if lane.everywhere and not self._queue.starts_at_once(flow.id):
            return None
        # Made before the slots are taken: if it fails, none has to be given back.
        start = flow.start(execution_id, self._clock.now())
        if lane.waiting or not lane.slots.acquire_now():
            return None
        if not self._slots.acquire_now(flow.id):
            lane.slots.release()
            return None
        return TakenSlots(start, partial(self._run_at_once, flow, lane), partial(self._free, flow.id, lane))

    def _run_at_once(self, flow: CompiledFlow, lane: _Lane, delivery: Delivery) -> None:
        if self._stopped:
            # It continues at the next start.
            self._free(flow.id, lane)
        else:
            self._start(flow.id, lane, delivery, flow)

    async def close(self, flow_id: str) -> None:
        """Start no more executions of a flow; running ones continue."""
        lane = self._lanes.pop(flow_id, None)
        if lane is None or lane.task is None:
            return
        lane.task.cancel()
        await asyncio.wait((lane.task,))
        if lane.slots.taken:
            self._left[flow_id] = lane.slots

    def lanes(self) -> frozenset[str]:
        """The ids of the flows that have a lane."""
        return frozenset(self._lanes)

    async def stop(self, grace: float) -> int:
        """Start no more executions, wait for the running ones, then cancel them; return the number of cancelled
        executions.

        If this call is cancelled, the running executions are cancelled at once.
        """
        self._stopped = True
        try:
            for flow_id in tuple(self._lanes):
                await self.close(flow_id)
            if self._running:
                await asyncio.wait(self._running, timeout=grace)
        finally:
            left = await self._cut_off()
        return left

    async def drop(self) -> None:
        """Cancel all running executions, since other nodes may have them; return when none runs any more."""
        # Their ends free slots; deliveries that had waited for one are not started any more.
        left = await self._cut_off()
        if left:
            self._log.warning("executions were dropped, since other nodes may have them", executions=left)

    async def _cut_off(self) -> int:
        left = frozenset(self._running)
        going = set(left)
        while going:
            for task in going:
                task.cancel()
            # An action may have swallowed the cancellation; its execution would then run to its end.
            _, going = await asyncio.wait(going, timeout=_INSIST)
        return len(left)

    async def _serve(self, flow_id: str, lane: _Lane) -> None:
        while True:
            try:
                limit = lane.concurrency if lane.everywhere else None
                delivered = self._queue.deliveries(flow_id, begun_only=lane.begun_only, limit=limit)
                async with aclosing(delivered) as deliveries:
                    async for delivery in deliveries:
                        if self._defect.going:
                            self._defect.absent(flow_id, flow_id=flow_id)
                        await self._slot(flow_id, lane, delivery)
                        self._start(flow_id, lane, delivery)
                return
            except StoreError as error:
                self._store_problem.report(error, flow_id=flow_id)
                await asyncio.sleep(_AGAIN)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the next read may do better
                # A flow without a reader would look like a flow without work.
                self._defect.noticed(flow_id, flow_id=flow_id, exc_info=error)
                await asyncio.sleep(_AGAIN)

    async def _slot(self, flow_id: str, lane: _Lane, delivery: Delivery) -> None:
        """Take slots for a delivery. If this is cancelled, the next reader of the flow gets it."""
        lane.waiting = True
        try:
            await lane.slots.acquire()
            try:
                await self._slots.acquire(flow_id)
            except asyncio.CancelledError:
                lane.slots.release()
                raise
        except asyncio.CancelledError:
            await delivery.redeliver(0)
            raise
        finally:
            lane.waiting = False

    def _start(self, flow_id: str, lane: _Lane, delivery: Delivery, flow: CompiledFlow | None = None) -> None:
        """Run an execution in its slot, unless the node has lost its lease since the delivery.

        `flow`: given only if the execution was started by its acceptance (`place`); otherwise the loader finds the
        version.
        """
        if not delivery.current:
            self._free(flow_id, lane)
            return
        task = asyncio.create_task(self._runner.run(delivery, flow))
        self._running.add(task)
        # A task that is cancelled before its first step runs no `finally`.
        task.add_done_callback(partial(self._ended, flow_id, lane))

    def _ended(self, flow_id: str, lane: _Lane, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free(flow_id, lane)

    def _free(self, flow_id: str, lane: _Lane) -> None:
        lane.slots.release()
        if not lane.slots.taken:
            self._left.pop(flow_id, None)
        self._slots.release(flow_id)


class FairSlots:
    """Fair slots: a flow may start an execution while it runs fewer than there are free slots.

    A busy flow alone gets half of the slots, two get a third each, and a flow that comes later always finds free slots.
    A flow requests one slot at a time.
    """

    def __init__(self, total: int = TOTAL) -> None:
        self._free = total
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def acquire_now(self, flow_id: str) -> bool:
        """Take a slot if the flow may start an execution now, and return whether it may."""
        may = self._may(flow_id)
        if may:
            self._take(flow_id)
        return may

    async def acquire(self, flow_id: str) -> None:
        """Return when the flow may start an execution."""
        if self.acquire_now(flow_id):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[flow_id] = turn
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(flow_id)  # it got a slot in the meantime
            raise
        finally:
            if self._waiting.get(flow_id) is turn:
                del self._waiting[flow_id]

    def release(self, flow_id: str) -> None:
        """Free a slot after an execution of the flow has ended."""
        self._free += 1
        self._running[flow_id] -= 1
        if not self._running[flow_id]:
            del self._running[flow_id]
        self._give()

    def _give(self) -> None:
        while self._waiting:
            # The flow with the fewest executions comes first, then the one that has waited longest.
            flow_id = min(self._waiting, key=self._running.__getitem__)
            if not self._may(flow_id):
                return
            turn = self._waiting.pop(flow_id)
            if not turn.done():
                self._take(flow_id)
                turn.set_result(None)

    def _may(self, flow_id: str) -> bool:
        return self._running[flow_id] < self._free

    def _take(self, flow_id: str) -> None:
        self._free -= 1
        self._running[flow_id] += 1


class LaneSlots:
    """The slots of a flow's lane. The lane waits for one at a time; nobody else does."""

    __slots__ = ("_most", "_waiting", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self._most = 0
        self._waiting: asyncio.Future[None] | None = None

    def allow(self, most: int) -> None:
        """Set the number of slots that may be taken at the same time. If more are taken now, the next one is given once
        fewer are."""
        self._most = most

    def acquire_now(self) -> bool:
        """Take a slot if one is free, and return whether one was."""
        if self.taken >= self._most:
            return False
        self.taken += 1
        return True

    async def acquire(self) -> None:
        """Return when a slot is taken."""
        while not self.acquire_now():
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def release(self) -> None:
        """Free a slot."""
        self.taken -= 1
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class TakenSlots:
    """The slots of an execution that starts when its message is durable. See `ImmediateStart`."""

    __slots__ = ("_free", "_run", "_unused", "change")

    def __init__(self, change: Start, run: Callable[[Delivery], None], free: Callable[[], None]) -> None:
        """`run` runs the execution and then frees the slots; `free` only frees them."""
        self.change = change
        self._run = run
        self._free = free
        self._unused = True

    def run(self, delivery: Delivery) -> None:
        """See `ImmediateStart`."""
        self._unused = False
        self._run(delivery)

    def release(self) -> None:
        """Free the slots, unless the execution runs in them."""
        if self._unused:
            self._unused = False
            self._free()
