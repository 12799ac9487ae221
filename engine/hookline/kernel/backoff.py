"""When a failed attempt is tried again. Pure arithmetic."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hookline.kernel.errors import StepError

#: What a provider may ask for with Retry-After; more than that is taken as this.
LONGEST_ASKED: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed attempt is tried again. `attempts` counts the first one."""

    attempts: int = 3
    wait: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)
    jitter: float = 0.0
    """By which part of it a wait may be shorter."""
    on: tuple[str, ...] | None = None
    """The codes after which it is tried again, `http.*` for many; None for what actions call retryable."""

    def takes(self, code: str, *, retryable: bool) -> bool:
        """Whether it is tried again after such an error."""
        if self.on is None:
            return retryable
        return any(code == one or (one.endswith("*") and code.startswith(one[:-1])) for one in self.on)


def next_wait(policy: RetryPolicy, attempt: int, error: StepError, seed: str = "") -> timedelta | None:
    """The wait after attempt number `attempt` failed; None where it is not tried again.

    The wait is what the other side asks for, where that is longer than our own. `seed` decides what chance does: the
    same step of the same execution always waits as long.
    """
    if not policy.takes(error.error_code, retryable=error.retryable) or attempt >= policy.attempts:
        return None
    try:
        wait = min(policy.wait * policy.factor ** (attempt - 1), policy.cap)
    except OverflowError:
        wait = policy.cap
    if policy.jitter:
        wait *= 1 - policy.jitter * _chance(f"{seed}\n{attempt}")
    if error.retry_after is not None:
        wait = max(wait, min(timedelta(seconds=max(error.retry_after, 0.0)), LONGEST_ASKED))
    return wait


def _chance(seed: str) -> float:
    """From 0 to 1, the same for the same seed."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / 2**64
