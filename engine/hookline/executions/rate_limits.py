"""Rate limits: the times at which steps and calls with a credential may run."""

import math
from datetime import timedelta
from typing import Final

from hookline.intake.limits import seconds_each
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.backoff import LONGEST_IN_PLACE
from hookline.kernel.clocks import Clock, SystemClock
from hookline.storage.cluster import Alone

_LONGEST: Final = LONGEST_IN_PLACE.total_seconds()


class StepRates:
    """Space the runs of a step evenly over all executions of its flow on this node, likewise those of a credential.

    Each turn gets its own time, after the turn before it, so a waiting execution knows its time. With other nodes, each
    node has some parts of the rate, and spaces its runs by these.
    """

    def __init__(self, limits: SharedLimits | None = None) -> None:
        """`limits`: those that this node shares with others."""
        self._limits = limits or SharedLimits(SystemClock(), Alone())
        self._lines: dict[str, _Line] = {}

    async def turn(self, name: str, rate: str, clock: Clock, *, had_one: bool) -> timedelta:
        """Return the time until the caller may run. After more than `LONGEST_IN_PLACE`, the caller comes back.

        `name`: the step of a flow, or a connector and a credential. `had_one`: the caller was given a time before,
        which has come.
        """
        limit, line = self._limits.of_step(name, rate), self._lines.setdefault(name, _Line())
        if not limit.parts and (had_one or line.assigned - clock.monotonic() <= _LONGEST):
            await self._limits.has_parts(limit, _LONGEST)
        now, interval = clock.monotonic(), limit.interval if limit.parts else seconds_each(rate)
        earliest = max(now + limit.wait(now), line.last + interval)
        at = earliest
        if not had_one or earliest - now > _LONGEST:
            # After a stop, late callers come at the same time; those above the rate go to the end of the line.
            at = line.assigned = max(earliest, line.assigned + interval)
        if at - now > _LONGEST:
            self._limits.missed(limit)
        else:
            line.last = at
            limit.use(at)
            limit.stored()
        return timedelta(seconds=at - now)


class _Line:
    __slots__ = ("assigned", "last")

    def __init__(self) -> None:
        self.assigned = -math.inf
        """The latest time that a caller got."""
        self.last = -math.inf
        """The latest time at which a caller runs, or will run within `LONGEST_IN_PLACE`."""
