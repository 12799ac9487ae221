"""How many messages a flow accepts in a time: the generic cell rate algorithm, which keeps one number."""

import math
from typing import Final

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
#: Seconds for which a flow counts as pressed after one that was too many.
_PRESSED: Final = 1.0


def seconds_each(rate: str) -> float:
    """Seconds from one to the next: `5/s` gives 0.2."""
    count, _, unit = rate.partition("/")
    return _SECONDS[unit] / int(count)


class RateLimit:
    """`10/s`: ten at once, then one each tenth of a second."""

    def __init__(self, text: str) -> None:
        self._interval = seconds_each(text)
        self._burst = _SECONDS[text.partition("/")[2]]
        self._next = 0.0
        self._pressed_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next one is free; 0 where one is free now. `now` is monotonic time."""
        wait = max(0.0, max(self._next, now) + self._interval - self._burst - now)
        if wait > 0:
            self._pressed_until = now + _PRESSED
        return wait

    def pressed(self, now: float) -> bool:
        """Whether there was one too many just now: more come than the rate lets in."""
        return now < self._pressed_until

    def free(self, now: float) -> int:
        """How many are free at once."""
        # What has been added and taken away again has lost some of its last digits.
        return max(0, int((now + self._burst - max(self._next, now)) / self._interval + 1e-9))

    def spend(self, now: float) -> None:
        """Count one."""
        self._next = max(self._next, now) + self._interval

    def give_back(self) -> None:
        """Uncount one: what was spent on started nothing."""
        self._next -= self._interval


_MEMORY: Final = 30.0
"""Seconds after which what has left counts for a third."""
_SHORTEST: Final = 1.0
_LONGEST: Final = 600.0
_UNKNOWN: Final = 30.0
_ROOM: Final = 0.1
"""The part of a full queue that is to be free when the senders come again, so that it isn't full at once."""


class DrainRate:
    """Executions that leave a queue in a second: an exponentially weighted estimate, which keeps three numbers."""

    def __init__(self, now: float) -> None:
        """`now` is monotonic time, here and in all else."""
        self._since = self._at = now
        self._weight = 0.0

    def left(self, now: float) -> None:
        """One has left."""
        self._decay(now)
        self._weight += 1.0

    def rate(self, now: float) -> float:
        """How many leave in a second."""
        self._decay(now)
        # The share of the memory that there has been time to fill.
        watched = 1.0 - math.exp(-(now - self._since) / _MEMORY)
        return self._weight / (_MEMORY * watched) if watched > 0 else 0.0

    def wait(self, queued: int, limit: int, now: float) -> float:
        """Seconds until a queue that is full has room again: between 1 s and 10 minutes."""
        rate = self.rate(now)
        if rate * _LONGEST < 1.0:
            return _UNKNOWN if now - self._since < _MEMORY else _LONGEST
        return min(_LONGEST, max(_SHORTEST, (queued - limit * (1.0 - _ROOM)) / rate))

    def _decay(self, now: float) -> None:
        self._weight *= math.exp(-max(0.0, now - self._at) / _MEMORY)
        self._at = max(self._at, now)
