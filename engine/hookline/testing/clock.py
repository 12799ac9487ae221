"""Time that a test sets by hand."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

START: Final = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


class ManualClock:
    """A clock that stands still until it is advanced; its sleepers wake when their time comes."""

    def __init__(self, start: datetime = START) -> None:
        self.jumps = 0
        self._now = start
        self._monotonic = 0.0
        self._jump = timedelta(0)
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced so far; at once where `seconds` is not above 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        self._changed.set()
        try:
            await woken
        finally:
            woken.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake those whose time has come, in the order of their times."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def set_back(self, seconds: float) -> None:
        """Set the outside clock back, or ahead if `seconds` is below 0; `now` follows once the jump is adopted."""
        self._jump -= timedelta(seconds=seconds)

    def jump(self) -> timedelta:
        """Return by how much the outside clock was set since the last adoption."""
        return self._jump

    def adopt(self, jump: timedelta) -> None:
        """Let `now` jump, too."""
        self._now += jump
        self._jump -= jump
        self.jumps += bool(jump)

    @property
    def sleepers(self) -> int:
        """The number of tasks that sleep now."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def until_sleeping(self, sleepers: int = 1) -> None:
        """Return once at least so many tasks sleep, so that the clock can be advanced."""
        while self.sleepers < sleepers:
            self._changed.clear()
            await self._changed.wait()
