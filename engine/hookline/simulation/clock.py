"""Simulated time: it leaps to the next sleeper as soon as nothing else can run."""

import asyncio
import heapq
import selectors
from asyncio import Future
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from hookline.kernel.time import Clock

#: Seconds of the loop's own time for which something real may still come, before case time leaps.
_PATIENCE: Final = 1.0
#: After so many leaps a case goes round for ever.
_MOST_LEAPS: Final = 100_000

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class CaseClock:
    """Stands still while anything can be done, and then leaps to the next time that somebody waits for.

    It takes a `CaseLoop` to leap.
    """

    def __init__(self, start: datetime = START) -> None:
        self.start: Final = start
        self.stuck: Final = asyncio.Event()
        """Set when nothing is left to do, and nobody waits for a time; or when it would go on for ever."""
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
        """Return once time has leapt so far; at once where `seconds` is not above 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self.sleep_until(self._now + timedelta(seconds=seconds))

    async def sleep_until(self, at: datetime) -> None:
        """Return once that time has come; at once where it is past."""
        if at <= self._now:
            await asyncio.sleep(0)
            return
        woken = self._sleeper(at)
        try:
            await woken
        finally:
            woken.cancel()

    def call_at(self, at: datetime, call: Callable[[], None]) -> None:
        """Call something at a time, or soon where that is past."""
        woken = self._sleeper(at)
        woken.add_done_callback(lambda done: None if done.cancelled() else call())

    def advance_to(self, at: datetime) -> None:
        """Time has passed, where that is ahead; nobody is woken yet."""
        self._now = max(self._now, at)

    def leap(self) -> bool:
        """Wake those whose time comes next, or say that there are none; false where that was said before."""
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
        """Return once that time has come; at once where it is past."""
        await self.sleep((at - self.now()).total_seconds())

    def call_at(self, at: datetime, call: Callable[[], None]) -> None:
        """Call something at a time, or soon where that is past."""
        seconds = max(0.0, (at - self.now()).total_seconds())
        self._timers.append(asyncio.get_running_loop().call_later(seconds, call))

    def close(self) -> None:
        """Call nothing any more."""
        for timer in self._timers:
            timer.cancel()


class CaseLoop(asyncio.SelectorEventLoop):
    """An event loop that lets its clock leap when it has nothing to do, threads that work for it included."""

    def __init__(self) -> None:
        self.clock: CaseClock | None = None
        self._in_threads = 0
        super().__init__(_LeapingSelector(self._leap))

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]  # of any type
        """Work in a thread is something to wait for."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: Any) -> None:
        self._in_threads -= 1

    def _leap(self) -> bool:
        return self._in_threads == 0 and self.clock is not None and self.clock.leap()


class _LeapingSelector(selectors.DefaultSelector):
    """Asked to wait, it leaps instead."""

    def __init__(self, leap: Callable[[], bool]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The loop asks with a timeout above 0, or none, where nothing of its own is ready."""
        if timeout is None or timeout > _PATIENCE:
            # What has come from outside goes first.
            ready = super().select(0)
            if ready:
                return ready
            if self._leap():
                return []
        return super().select(timeout)
