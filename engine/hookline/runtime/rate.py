"""How many messages a flow accepts in a time: the generic cell rate algorithm, which keeps one number."""

from typing import Final

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


class RateLimit:
    """`10/s`: ten at once, then one each tenth of a second."""

    def __init__(self, text: str) -> None:
        count, _, unit = text.partition("/")
        self._interval = _SECONDS[unit] / int(count)
        self._burst = _SECONDS[unit]
        self._next = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next one is free; 0 where one is free now. `now` is monotonic time."""
        return max(0.0, max(self._next, now) + self._interval - self._burst - now)

    def spend(self, now: float) -> None:
        """Count one."""
        self._next = max(self._next, now) + self._interval

    def give_back(self) -> None:
        """Uncount one: what was spent on started nothing."""
        self._next -= self._interval
