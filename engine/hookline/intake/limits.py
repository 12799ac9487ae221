"""How many messages a flow accepts in a time: the generic cell rate algorithm, which keeps one number."""

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
