"""Simulated time: it leaps to the next sleeper as soon as nothing else can run."""

import asyncio
import heapq
import selectors
from asyncio import Future
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from hookline.kernel.clocks import Clock

#: Timers of the loop within so many seconds are waited for in real time, before case time leaps.
_PATIENCE: Final = 1.0
#: A case with more leaps is taken to run forever.
_MOST_LEAPS: Final = 100_000

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class CaseClock:
    """A clock that stands still while any task can run, and then leaps to the next time for which one waits.

    It needs a `CaseLoop` to leap.
    """

    def __init__(self, start: datetime = START) -> None:
        self.start: Final = start
        self.stuck: Final = asyncio.Event()
        """Set if no task can run and none waits for a time, or if the case would run forever."""
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[datetime, int, Future[None]]] = []
        self._leaps = 0

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self._now - self.start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Return once time has leapt so far; at once if `seconds` is not above 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self.sleep_until(self._now + timedelta(seconds=seconds))

    async def sleep_until(self, at: datetime) -> None:
        """Return at that time; at once if it is past."""
        if at <= self._now:
            await asyncio.sleep(0)
            return
        woken = self._sleeper(at)
        try:
            await woken
        finally:
            woken.cancel()

    def call_at(self, at: datetime, call: Callable[[], None]) -> None:
        """Call a function at a time, or soon if that is past."""
        woken = self._sleeper(at)
        woken.add_done_callback(lambda done: None if done.cancelled() else call())

    def advance_to(self, at: datetime) -> None:
        """Set the clock to a later time without waking anything yet; an earlier time changes nothing."""
        self._now = max(self._now, at)

    def leap(self) -> bool:
        """Leap to the next time and wake its sleeper, or set `stuck`; return false if that was set already."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        self._leaps += 1
        if not self._sleepers or self._leaps > _MOST_LEAPS:
            if self.stuck.is_set():
                return False
            self.stuck.set()
            return True
        at, _, woken = heapq.heappop(self._sleepers)
        self._now = max(self._now, at)
        woken.set_result(None)
        return True

    def _sleeper(self, at: datetime) -> Future[None]:
        woken: Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at, next(self._order), woken))
        return woken


class RealClock(CaseClock):
    """A clock that doesn't leap: its time and its waits are those of another clock. It needs no loop of its own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.now())
        self._clock = clock
        self._timers: list[asyncio.TimerHandle] = []

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await self._clock.sleep(max(0.0, seconds))

    async def sleep_until(self, at: datetime) -> None:
        """Return at that time; at once if it is past."""
        await self.sleep((at - self.now()).total_seconds())

    def call_at(self, at: datetime, call: Callable[[], None]) -> None:
        """Call a function at a time, or soon if that is past."""
        seconds = max(0.0, (at - self.now()).total_seconds())
        self._timers.append(asyncio.get_running_loop().call_later(seconds, call))

    def close(self) -> None:
        """Cancel all calls that are still to come."""
        for timer in self._timers:
            timer.cancel()


class CaseLoop(asyncio.SelectorEventLoop):
    """An event loop that lets its clock leap when neither it nor its threads have anything to do."""

    def __init__(self) -> None:
        self.clock: CaseClock | None = None
        self._in_threads = 0
        super().__init__(_LeapingSelector(self._leap))

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]  # of any type
        """Count the work in threads, during which the clock doesn't leap."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: Any) -> None:
        self._in_threads -= 1

    def _leap(self) -> bool:
        return self._in_threads == 0 and self.clock is not None and self.clock.leap()


class _LeapingSelector(selectors.DefaultSelector):
    """A selector that lets the clock leap instead of waiting."""

    def __init__(self, leap: Callable[[], bool]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Select ready files, or leap. The loop gives a timeout above 0, or None, if no callback of it is ready."""
        if timeout is None or timeout > _PATIENCE:
            # Input from outside has priority over a leap.
            ready = super().select(0)
            if ready:
                return ready
            if self._leap():
                return []
        return super().select(timeout)
