"""What services say of their rate limits: how many requests are left, and when there are more.

They say it in headers of several names, in seconds, as a time since 1970, or as a date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from hookline.kernel.errors import RateLimited

LONGEST_ASKED: Final = 86400.0
"""Seconds: what asks for more is taken as asking for this."""

#: Numbers from here on are no waits of thirty years, but times: seconds since 1970, and milliseconds.
_TIMES: Final = 1_000_000_000
_MILLISECONDS: Final = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How a service says that it wants fewer requests.

    Given with a request (`rate_limits=RateLimits(statuses=(403, 429))`), it makes such a response `RateLimited`, which
    is tried again after the time that the service names.
    """

    statuses: tuple[int, ...] = (429,)
    """429 always means it. Others mean it where a header says so: `Retry-After`, or one by which nothing remains."""
    remaining: tuple[str, ...] = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
    """Headers, in lower case, that say how many requests are left. The first that is there counts."""
    reset: tuple[str, ...] = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
    """Headers, in lower case, that say when there are more, where there is no `Retry-After`."""

    def met(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a response says it. Names of headers are lower-case."""
        if status == 429:
            return True
        return status in self.statuses and ("retry-after" in headers or self._left(headers) == 0)

    def wait(self, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
        """Seconds until there are more requests, at most a day; None where that isn't said.

        `now` is the time at which the response came; by default the one that it has in its own `Date`.
        """
        now = now if now is not None else _date(headers.get("date", ""))
        asked = seconds_until(headers.get("retry-after"), now)
        if asked is not None or self._left(headers) not in (None, 0):
            # Where requests are left, the time at which there are more isn't what is waited for.
            return asked
        found = (seconds_until(headers.get(name), now) for name in self.reset)
        return next((seconds for seconds in found if seconds is not None), None)

    def error(
        self, status: int, headers: Mapping[str, str], message: str, now: datetime | None = None
    ) -> RateLimited | None:
        """The error for a response that says it, with the code `http.<status>`; None where it doesn't."""
        if not self.met(status, headers):
            return None
        return RateLimited(message, code=f"http.{status}", retryable=True, retry_after=self.wait(headers, now))

    def _left(self, headers: Mapping[str, str]) -> float | None:
        for name in self.remaining:
            value = headers.get(name, "").strip()
            if _digits(value):
                return float(value)
        return None


def seconds_until(value: str | None, now: datetime | None) -> float | None:
    """Seconds that a header asks to wait, at most a day: given as such, as a time since 1970, or as a date.

    None where it can't be read, or is a time and it isn't known what time it is `now`.
    """
    value = (value or "").strip()
    if _digits(value):
        number = float(value)
        if number < _TIMES:
            return min(number, LONGEST_ASKED)
        since = number / 1000 if number >= _MILLISECONDS else number
        left = None if now is None else since - now.timestamp()
    else:
        at = _date(value)
        left = None if at is None or now is None else (at - now).total_seconds()
    return None if left is None else min(max(left, 0.0), LONGEST_ASKED)


def _digits(value: str) -> bool:
    whole, _, part = value.partition(".")
    return value.isascii() and whole.isdigit() and (part.isdigit() or part == "") and len(value) <= 20


def _date(value: str) -> datetime | None:
    """An HTTP date, or one of RFC 3339; without a zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(value)
        except (ValueError, TypeError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None
