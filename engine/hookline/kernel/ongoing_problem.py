"""Problems that are noticed again and again: logged when they begin and when they end, not each time."""

from typing import Any, Final

from hookline.kernel.clocks import Clock
from hookline.kernel.logs import Log

_REMIND: Final = 60.0
"""Seconds until a problem that goes on is logged again."""
_QUIET: Final = 2.0
"""Seconds without it, after which a problem is over: one that comes and goes is one problem."""
_MOST: Final = 1000
"""Problems that are told apart; further ones are one problem together."""


class _Ongoing:
    __slots__ = ("began", "last", "logged", "times")

    def __init__(self, now: float) -> None:
        self.began = self.last = self.logged = now
        self.times = 1


class OngoingProblem:
    """A problem of one kind, and the log of its beginning and its end. It may exist for several things at once."""

    def __init__(self, log: Log, clock: Clock, event: str, ended: str) -> None:
        """`event` and `ended` are logged when it begins and when it has ended."""
        self._log = log
        self._clock = clock
        self._event = event
        self._ended = ended
        self.going: dict[str, _Ongoing] = {}
        """The things that have the problem now; empty while nothing has it, and then `absent` need not be called."""

    def noticed(self, of: str = "", **fields: Any) -> None:
        """Note that the problem exists; `of` is the thing that has it, and `fields` describe it in the log."""
        now = self._clock.monotonic()
        if of not in self.going and len(self.going) >= _MOST:
            of = ""
        going = self.going.get(of)
        if going is None:
            self.going[of] = _Ongoing(now)
            self._log.error(self._event, **fields)
            return
        going.times += 1
        going.last = now
        if now - going.logged >= _REMIND:
            going.logged = now
            self._log.error(self._event, times=going.times, **fields)

    def absent(self, of: str = "", **fields: Any) -> None:
        """Note that the problem didn't come up. Costs nothing while it doesn't exist."""
        if not self.going:
            return
        going = self.going.get(of)
        now = self._clock.monotonic()
        if going is None or now - going.last < _QUIET:
            return
        del self.going[of]
        self._log.info(self._ended, times=going.times, seconds=round(now - going.began, 1), **fields)
