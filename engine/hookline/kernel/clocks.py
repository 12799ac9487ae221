"""Clocks: the engine asks its clock, never the operating system."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, runtime_checkable


class Clock(Protocol):
    """The source of the time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back, for measuring durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock's time."""
        ...


@runtime_checkable
class JumpingClock(Clock, Protocol):
    """A clock that follows one outside, which may be set. `now` goes on steadily until a jump is adopted."""

    jumps: int
    """The number of jumps that were adopted."""

    def jump(self) -> timedelta:
        """Return by how much the outside clock was set since the last adoption; 0 if it wasn't."""
        ...

    def adopt(self, jump: timedelta) -> None:
        """Let `now` jump, too."""
        ...


@runtime_checkable
class FollowingClock(Clock, Protocol):
    """A clock that can follow another one, such as that of a database which several processes use."""

    def follow(self, now: datetime) -> None:
        """Set the time to that of the other clock; go on from there with this machine's steady clock. Never goes
        back."""
        ...


def jumps_of(clock: Clock) -> int:
    """The number of jumps that a clock has adopted; 0 if it has none."""
    return clock.jumps if isinstance(clock, JumpingClock) else 0


def rfc3339(at: datetime) -> str:
    """Format a time as in the API, messages and expressions: `2026-01-31T08:00:00.123456Z`."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return f"{utc.isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


async def follow_jumps(clock: Clock) -> None:
    """Adopt the jumps of a clock forever, for a process in which nothing waits."""
    while isinstance(clock, JumpingClock):
        await clock.sleep(1.0)
        clock.adopt(clock.jump())


_TOLERANCE: Final = 0.5
"""Seconds by which the system's time may differ from the steady time without having jumped."""
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_seconds() -> float:
    """Return seconds on a clock of this machine that never goes back, and that goes on while the machine sleeps."""
    return time.clock_gettime(_STEADY)


class SystemClock:
    """The operating system's time, without its jumps."""

    def __init__(self) -> None:
        self.jumps = 0
        self._offset = time.time() - steady_seconds()
        self._followed: float | None = None
        """The time of the clock that is followed, less the steady time."""
        self._last = 0.0

    def follow(self, now: datetime) -> None:
        """See `FollowingClock`."""
        if self._followed is not None:
            self._last = max(self._last, steady_seconds() + self._followed)
        self._followed = now.timestamp() - steady_seconds()

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        steady = steady_seconds()
        if self._followed is not None:
            return datetime.fromtimestamp(max(steady + self._followed, self._last), UTC)
        now = time.time()
        if abs(now - steady - self._offset) > _TOLERANCE:
            return datetime.fromtimestamp(steady + self._offset, UTC)
        self._offset = now - steady
        return datetime.fromtimestamp(now, UTC)

    def jump(self) -> timedelta:
        """See `JumpingClock`."""
        if self._followed is not None:
            return timedelta(0)
        jump = time.time() - steady_seconds() - self._offset
        return timedelta(seconds=jump) if abs(jump) > _TOLERANCE else timedelta(0)

    def adopt(self, jump: timedelta) -> None:
        """See `JumpingClock`."""
        self._offset += jump.total_seconds()
        self.jumps += bool(jump)

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)
