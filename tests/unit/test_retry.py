"""When failures are tried again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import StepError
from hookline.flows.blocks.action import RetryPolicy
from hookline.runtime.retry import LONGEST_ASKED, next_wait

POLICY = RetryPolicy(attempts=5, wait=timedelta(seconds=2), factor=2, cap=timedelta(seconds=10))
AGAIN = StepError("away", retryable=True)


def test_waits_grow_by_the_factor_up_to_the_cap() -> None:
    waits = [next_wait(POLICY, attempt, AGAIN) for attempt in (1, 2, 3, 4)]
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 10)]


def test_attempts_count_the_first_try() -> None:
    assert next_wait(POLICY, 5, AGAIN) is None


def test_an_error_that_is_not_retryable_is_tried_once() -> None:
    assert next_wait(POLICY, 1, StepError("wrong")) is None


def test_what_the_other_side_asks_for_counts_where_it_is_longer() -> None:
    assert next_wait(POLICY, 1, StepError("busy", retryable=True, retry_after=60)) == timedelta(seconds=60)
    assert next_wait(POLICY, 1, StepError("busy", retryable=True, retry_after=0.5)) == timedelta(seconds=2)
    assert next_wait(POLICY, 1, StepError("busy", retryable=True, retry_after=1e12)) == LONGEST_ASKED


@given(
    attempt=st.integers(1, 1000),
    factor=st.floats(1, 1e6, allow_nan=False),
    wait=st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_no_wait_is_longer_than_the_cap(attempt: int, factor: float, wait: timedelta) -> None:
    policy = RetryPolicy(attempts=1001, wait=wait, factor=factor, cap=timedelta(minutes=5))
    found = next_wait(policy, attempt, AGAIN)
    assert found is not None
    assert timedelta(0) <= found <= timedelta(minutes=5)
