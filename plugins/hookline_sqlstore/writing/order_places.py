"""Places of executions in the queue of their order key, of which the first may run.

The place is the column `order_seq`, and only the first execution is ever ready. So waiting executions cost the feeds
nothing, and a restart changes nothing.
"""

from hookline.api_storage import Clock
from hookline_sqlstore.column_values import micros


class OrderPlaces:
    """Assigns places: always greater ones, also after a restart, or when the clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self.used = False
        """True if any execution may have a place; otherwise the end of an execution needs no search for the next."""

    def start(self, last: int | None) -> None:
        """`last`: the greatest place in the table."""
        if last is not None:
            self._last, self.used = max(self._last, last), True

    def next(self) -> int:
        """Return the next place."""
        self.used = True
        self._last = max(self._last + 1, micros(self._clock.now()))
        return self._last
