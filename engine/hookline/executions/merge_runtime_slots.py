"""Slots for executions that run, shared fairly by the flows."""

import asyncio
from collections import Counter
from typing import Final

TOTAL: Final = 2048
"""Executions that run at once, over all flows."""


class Slots:
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
