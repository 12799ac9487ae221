"""Back-off: the waits between failed attempts. Pure arithmetic."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hookline.kernel.errors import StepError

LONGEST_ASKED: Final = timedelta(days=1)
"""The longest wait that a provider may ask for with `Retry-After`; a longer one is shortened to this."""
LONGEST_IN_PLACE: Final = timedelta(seconds=1)
"""The longest wait of a step that is slept through; for a longer one, its execution is parked."""
STORE_RETRY: Final = 5.0
"""Seconds until a failed access to the store is repeated."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow by a factor with each failure in a row, up to the longest one."""

    first: timedelta
    longest: timedelta
    factor: float = 2.0

    def wait(
        self, failures: int, retry_after: float | None = None, *, longest_asked: timedelta = LONGEST_ASKED
    ) -> timedelta:
        """The wait after so many failures in a row, of which there is at least one.

        If the other side asks for a longer wait, with `retry_after` in seconds, that counts, up to `longest_asked`.
        """
        return _at_least(self._grown(failures), retry_after, longest_asked)

    def _grown(self, failures: int) -> timedelta:
        try:
            return min(self.first * self.factor ** (failures - 1), self.longest)
        except OverflowError:
            return self.longest


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retries of a step. `attempts` includes the first one."""

    attempts: int = 3
    wait: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)
    jitter: float = 0.0
    """The part of a wait, from 0 to 1, by which chance may shorten it."""
    on: tuple[str, ...] | None = None
    """The error codes that are retried, `http.*` for many; None for the errors that actions call retryable."""

    def takes(self, code: str, *, retryable: bool) -> bool:
        """Return whether an error is retried."""
        if self.on is None:
            return retryable
        return any(code == one or (one.endswith("*") and code.startswith(one[:-1])) for one in self.on)


def next_wait(policy: RetryPolicy, attempt: int, error: StepError, seed: str = "") -> timedelta | None:
    """Return the wait after a failed attempt, counted from 1; None if it is not retried.

    If the other side asks for a longer wait, that counts. `seed` determines the jitter: the same step of the same
    execution always waits for the same time.
    """
    if not policy.takes(error.error_code, retryable=error.retryable) or attempt >= policy.attempts:
        return None
    wait = Backoff(policy.wait, policy.cap, policy.factor).wait(attempt)
    if policy.jitter:
        wait *= 1 - policy.jitter * _chance(f"{seed}\n{attempt}")
    return _at_least(wait, error.retry_after, LONGEST_ASKED)


def _at_least(wait: timedelta, asked: float | None, longest: timedelta) -> timedelta:
    if asked is None:
        return wait
    return max(wait, timedelta(seconds=min(max(asked, 0.0), longest.total_seconds())))


def _chance(seed: str) -> float:
    """A number from 0 to 1, the same for the same seed."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / 2**64
