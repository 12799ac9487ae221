"""Lines: executions with an equal order key, of which the first may run.

The line is in the table: a place in it is `order_seq`, and only the first is ever ready. So what waits for its turn
costs the feeds nothing, however long the line is, and a restart changes nothing.
"""

from hookline.api_storage import Clock
from hookline_sqlstore.column_values import micros


class Lines:
    """Gives places in lines: always greater ones, also after a restart, or when the clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self.used = False
        """Whether there may be a line. While there is none, what ends looks for no successor."""

    def start(self, last: int | None) -> None:
        """`last`: the greatest place that is in the table."""
        if last is not None:
            self._last, self.used = max(self._last, last), True

    def next(self) -> int:
        """The place of who comes now."""
        self.used = True
        self._last = max(self._last + 1, micros(self._clock.now()))
        return self._last
