"""From the durable queue to running executions: one bounded asyncio.Queue for each flow."""

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from hookline.executions.runner import Runner
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.storage.queue import Delivery, Queue

TOTAL: Final = 2048
"""Executions that run at once, over all flows."""


class FairSlots:
    """A flow may begin one more while it runs fewer than are free.

    So one that floods alone gets half of them and never the rest, two get a third each, and whichever comes next finds
    some free at once. A flow asks for one slot at a time.
    """

    def __init__(self, total: int = TOTAL) -> None:
        self._free = total
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def acquire(self, flow_id: str) -> None:
        """Return when the flow may begin one."""
        if self._may(flow_id):
            self._take(flow_id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[flow_id] = turn
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(flow_id)  # it was given meanwhile
            raise
        finally:
            if self._waiting.get(flow_id) is turn:
                del self._waiting[flow_id]

    def release(self, flow_id: str) -> None:
        """One of the flow's has ended."""
        self._free += 1
        self._running[flow_id] -= 1
        if not self._running[flow_id]:
            del self._running[flow_id]
        self._give()

    def _give(self) -> None:
        while self._waiting:
            # Who runs least goes first; of equals, who has waited longest.
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


#: Deliveries that wait in memory for each flow; what doesn't fit stays in the backend.
_LANE: Final = 32
#: Seconds until a lane that the backend failed is read again.
_AGAIN: Final = 1.0
#: Seconds until an execution that goes on although it was cut off is cut off again.
_INSIST: Final = 1.0


@dataclass(slots=True)
class _Lane:
    deliveries: asyncio.Queue[Delivery]
    slots: asyncio.Semaphore
    concurrency: int
    begun_only: bool
    tasks: tuple[asyncio.Task[None], ...] = ()


class Dispatcher:
    """Keeps a lane for each flow that takes messages, and runs what comes in it."""

    def __init__(self, queue: Queue, runner: Runner, log: Log) -> None:
        self._queue = queue
        self._runner = runner
        self._log = log
        self._lanes: dict[str, _Lane] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._slots = FairSlots()

    @property
    def running(self) -> int:
        """How many executions are under way."""
        return len(self._running)

    async def open(self, flow_id: str, concurrency: int, *, begun_only: bool = False) -> None:
        """Run what comes for a flow, so many executions side by side; `begun_only`: of what has begun already."""
        lane = self._lanes.get(flow_id)
        if lane is not None and (lane.concurrency, lane.begun_only) == (concurrency, begun_only):
            return
        # Those that run keep the old lane's slots until they end.
        await self.close(flow_id)
        lane = _Lane(asyncio.Queue(_LANE), asyncio.Semaphore(concurrency), concurrency, begun_only)
        lane.tasks = (
            asyncio.create_task(self._feed(flow_id, lane), name=f"feed {flow_id}"),
            asyncio.create_task(self._drain(flow_id, lane), name=f"drain {flow_id}"),
        )
        self._lanes[flow_id] = lane

    async def close(self, flow_id: str) -> None:
        """Begin nothing more of a flow; what runs goes on."""
        lane = self._lanes.pop(flow_id, None)
        if lane is None:
            return
        for task in lane.tasks:
            task.cancel()
        await asyncio.wait(lane.tasks)
        while not lane.deliveries.empty():
            # Given back, so that whoever reads the flow next gets it.
            await lane.deliveries.get_nowait().retry(0)

    def lanes(self) -> frozenset[str]:
        """Ids of the flows that have a lane."""
        return frozenset(self._lanes)

    async def stop(self, grace: float) -> int:
        """Begin nothing more, wait for what runs, then cut it off; gives the number of executions cut off.

        Where this is cancelled, what runs is cut off at once.
        """
        try:
            for flow_id in tuple(self._lanes):
                await self.close(flow_id)
            if self._running:
                await asyncio.wait(self._running, timeout=grace)
        finally:
            left = await self._cut_off()
        return left

    async def _cut_off(self) -> int:
        left = frozenset(self._running)
        going = set(left)
        while going:
            for task in going:
                task.cancel()
            # An action may have swallowed it, and then the execution would go on to its end.
            _, going = await asyncio.wait(going, timeout=_INSIST)
        return len(left)

    async def _feed(self, flow_id: str, lane: _Lane) -> None:
        while True:
            try:
                async with aclosing(self._queue.deliveries(flow_id, begun_only=lane.begun_only)) as deliveries:
                    async for delivery in deliveries:
                        try:
                            await lane.deliveries.put(delivery)
                        except asyncio.CancelledError:
                            await delivery.retry(0)
                            raise
                return
            except StoreError as error:
                self._log.error("the queue failed; trying again", flow_id=flow_id, error=error.message)
                await asyncio.sleep(_AGAIN)
            except Exception:  # noqa: BLE001 - whatever it is, it is reported, and the next read may do better
                # A flow that nobody reads any more would look like one that has nothing to do.
                self._log.error("defect of the queue; trying again", flow_id=flow_id, exc_info=True)
                await asyncio.sleep(_AGAIN)

    async def _drain(self, flow_id: str, lane: _Lane) -> None:
        while True:
            await lane.slots.acquire()
            delivery = await lane.deliveries.get()
            try:
                await self._slots.acquire(flow_id)
            except asyncio.CancelledError:
                await delivery.retry(0)
                raise
            self._keep(asyncio.create_task(self._run(flow_id, lane, delivery)))

    async def _run(self, flow_id: str, lane: _Lane, delivery: Delivery) -> None:
        try:
            await self._runner.run(delivery)
        finally:
            lane.slots.release()
            self._slots.release(flow_id)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)
