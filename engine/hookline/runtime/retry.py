"""When a failed attempt is tried again. Pure arithmetic."""

from datetime import timedelta
from typing import Final

from hookline.errors import StepError
from hookline.flows.blocks.action import RetryPolicy

#: What a provider may ask for with Retry-After; more than that is taken as this.
LONGEST_ASKED: Final = timedelta(days=1)


def next_wait(policy: RetryPolicy, attempt: int, error: StepError) -> timedelta | None:
    """The wait after attempt number `attempt` failed; None where it is not tried again.

    Only retryable errors are. The wait is what the other side asks for, where that is longer than our own.
    """
    if not error.retryable or attempt >= policy.attempts:
        return None
    try:
        wait = min(policy.wait * policy.factor ** (attempt - 1), policy.cap)
    except OverflowError:
        wait = policy.cap
    if error.retry_after is not None:
        wait = max(wait, min(timedelta(seconds=max(error.retry_after, 0.0)), LONGEST_ASKED))
    return wait
