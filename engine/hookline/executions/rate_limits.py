"""Rate limits: the times at which steps and calls with a credential may run."""

from datetime import datetime, timedelta
from typing import Final

from hookline.intake.limits import seconds_each

LONGEST_SLEEP: Final = timedelta(seconds=1)
"""A longer wait is stored as a row; a shorter one is slept through."""


class StepRates:
    """Space the runs of a step evenly over all executions of its flow in this process, likewise those of a credential.

    Each turn gets its own time, after the turn before it, so a waiting execution knows its time.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], _Line] = {}

    def turn(self, where: str, name: str, rate: str, now: datetime, *, had_one: bool) -> datetime:
        """The time at which the caller may run: now, within `LONGEST_SLEEP`, or later; then it comes back at that time.

        `where` and `name` are a flow and its step, or a connector and a credential. `had_one`: the caller was given a
        time before, which has come.
        """
        interval = timedelta(seconds=seconds_each(rate))
        line = self._lines.setdefault((where, name), _Line(now - interval))
        earliest = max(now, line.last + interval)
        if had_one and earliest - now <= LONGEST_SLEEP:
            line.last = earliest
            return earliest
        # After a stop, late callers come at the same time; those above the rate go to the end of the line.
        at = max(earliest, line.assigned + interval)
        line.assigned = at
        if at - now <= LONGEST_SLEEP:
            line.last = at
        return at


class _Line:
    __slots__ = ("assigned", "last")

    def __init__(self, before: datetime) -> None:
        self.assigned = before
        """The latest time that a caller got."""
        self.last = before
        """The latest time at which a caller runs, or will run within `LONGEST_SLEEP`."""
