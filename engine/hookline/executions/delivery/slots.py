"""The slots in which executions run: those of one flow, and those that all flows share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from hookline.storage.changes import Start
from hookline.storage.queue import Delivery

TOTAL: Final = 2048
"""The number of executions that run at the same time, over all flows."""


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
    """The slots of a lane. The lane waits for one at a time; nobody else does."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: asyncio.Future[None] | None = None

    def acquire_now(self) -> bool:
        """Take a slot if one is free, and return whether one was."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def acquire(self) -> None:
        """Return when a slot is taken."""
        while not self.acquire_now():
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def release(self) -> None:
        """Free a slot."""
        self._free += 1
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
