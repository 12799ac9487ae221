"""Whose turn it is where there is a rate: at a step, or with a credential.

Times are given out; who waits for one is elsewhere.
"""

from datetime import datetime, timedelta
from typing import Final

from hookline.intake.limits import seconds_each

LONGEST_SLEEP: Final = timedelta(seconds=1)
"""A wait that is longer than this is a row in the store; a shorter one is slept through."""


class StepRates:
    """Spaces what runs at a step evenly, over all executions of its flow in this process; likewise with a credential.

    Turns lie in the future, each after the one before: so whoever waits knows its time, and no two have the same.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], _Line] = {}

    def turn(self, where: str, name: str, rate: str, now: datetime, *, had_one: bool) -> datetime:
        """When it may run: at once, within `LONGEST_SLEEP`, or later; then it comes back at that time.

        `where` and `name` are a flow and its step, or a connector and a credential. `had_one`: it was given a time
        before, and that has come.
        """
        interval = timedelta(seconds=seconds_each(rate))
        line = self._lines.setdefault((where, name), _Line(now - interval))
        earliest = max(now, line.last + interval)
        if had_one and earliest - now <= LONGEST_SLEEP:
            line.last = earliest
            return earliest
        # Late ones come together, after a stop say: what is too much of them goes to the end of the line.
        at = max(earliest, line.given + interval)
        line.given = at
        if at - now <= LONGEST_SLEEP:
            line.last = at
        return at


class _Line:
    __slots__ = ("given", "last")

    def __init__(self, before: datetime) -> None:
        self.given = before
        """The latest turn that was given out."""
        self.last = before
        """The latest at which one runs, or will within `LONGEST_SLEEP`."""
