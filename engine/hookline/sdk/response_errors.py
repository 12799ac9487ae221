"""The errors of responses by their status, and the times that a service gives for the next request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable

MAX_WAIT: Final = 86400.0
"""The longest wait that a service can ask for, in seconds."""

#: Larger numbers are times and not waits: seconds since 1970, or milliseconds.
_TIMES: Final = 1_000_000_000
_MILLISECONDS: Final = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The statuses and headers with which a service reports its rate limits.

    If a request has `rate_limits=RateLimits(statuses=(403, 429))`, such a response raises `RateLimited`, and the step
    is retried after the time that the service names.
    """

    statuses: tuple[int, ...] = (429,)
    """The statuses of rate limits. Statuses other than 429 need `Retry-After`, or a header that says that no requests
    remain."""
    remaining: tuple[str, ...] = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
    """The headers, in lower case, with the number of requests that remain. The first that exists counts."""
    reset: tuple[str, ...] = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
    """The headers, in lower case, with the time of the reset, if there is no `Retry-After`."""

    def met(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return True if a response reports a rate limit. Names of headers are in lower case."""
        if status == 429:
            return True
        return status in self.statuses and ("retry-after" in headers or self._left(headers) == 0)

    def wait(self, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
        """Return the seconds until the reset, at most a day, or None if there is no header for it.

        `now` is the time of the response; the default is its `Date`.
        """
        now = now if now is not None else _date(headers.get("date", ""))
        asked = seconds_until(headers.get("retry-after"), now)
        if asked is not None or self._left(headers) not in (None, 0):
            # If requests remain, the time of the reset is not the time to wait.
            return asked
        found = (seconds_until(headers.get(name), now) for name in self.reset)
        return next((seconds for seconds in found if seconds is not None), None)

    def error(
        self, status: int, headers: Mapping[str, str], message: str, now: datetime | None = None
    ) -> RateLimited | None:
        """Return the error for a response that reports a rate limit, with the code `http.<status>`, or None."""
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
    """Return the seconds to wait of a header, at most a day: a number of seconds, a time since 1970, or a date.

    None if it is invalid, or if it is a time and `now` is None.
    """
    value = (value or "").strip()
    if _digits(value):
        number = float(value)
        if number < _TIMES:
            return min(number, MAX_WAIT)
        since = number / 1000 if number >= _MILLISECONDS else number
        left = None if now is None else since - now.timestamp()
    else:
        at = _date(value)
        left = None if at is None or now is None else (at - now).total_seconds()
    return None if left is None else min(max(left, 0.0), MAX_WAIT)


def _digits(value: str) -> bool:
    whole, _, part = value.partition(".")
    return value.isascii() and whole.isdigit() and (part.isdigit() or part == "") and len(value) <= 20


def _date(value: str) -> datetime | None:
    """Parse an HTTP date or a date of RFC 3339. Without a time zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(value)
        except (ValueError, TypeError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None


#: Statuses below 500 that are retryable.
_RETRYABLE: Final = frozenset({408, 425})


#: Statuses that have an error type of their own.
_KINDS: Final[Mapping[int, type[StepError]]] = {401: AuthExpired, 503: Unavailable}


def status_error(
    status: int,
    message: str,
    headers: Mapping[str, str],
    now: datetime,
    limits: RateLimits | None = None,
) -> StepError:
    """Return the error for a response with a status of 400 or more, received at the time `now`."""
    limited = (limits or RateLimits()).error(status, headers, message, now)
    if limited is not None:
        return limited
    retry_after = seconds_until(headers.get("retry-after"), now)
    kind, retryable = _KINDS.get(status, StepError), status in _RETRYABLE or status >= 500
    return kind(message, code=f"http.{status}", retryable=retryable, retry_after=retry_after)
