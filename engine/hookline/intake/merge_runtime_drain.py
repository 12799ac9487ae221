"""How fast queues drain, and so how long a sender that finds one full should wait."""

import math
from typing import Final

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
