"""When failures are tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.backoff import LONGEST_ASKED, Backoff, RetryPolicy, next_wait
from hookline.kernel.errors import StepError

POLICY = RetryPolicy(attempts=5, wait=timedelta(seconds=2), factor=2, cap=timedelta(seconds=10))
AGAIN = StepError("away", retryable=True)


def test_waits_grow_by_the_factor_up_to_the_cap() -> None:
    waits = [next_wait(POLICY, attempt, AGAIN) for attempt in (1, 2, 3, 4)]
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 10)]


@pytest.mark.rule(21)
def test_attempts_count_the_first_try() -> None:
    assert next_wait(POLICY, 5, AGAIN) is None


@pytest.mark.rule(21)
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


@pytest.mark.parametrize(
    ("code", "retryable", "again"),
    [
        ("http.503", False, True),
        ("probe.away", False, True),
        ("probe.away.far", True, True),
        ("probe", True, False),
        ("http.502", True, False),
        ("probes.x", True, False),
    ],
)
def test_listed_codes_decide_which_errors_are_tried_again(code: str, retryable: bool, again: bool) -> None:
    policy = RetryPolicy(on=("http.503", "probe.*"))
    assert (next_wait(policy, 1, StepError("x", code=code, retryable=retryable)) is not None) == again


@given(jitter=st.floats(0, 1), seed=st.text(max_size=20), attempt=st.integers(1, 4))
def test_jitter_shortens_waits_by_its_part_at_most_and_the_same_way_each_time(
    jitter: float, seed: str, attempt: int
) -> None:
    whole = next_wait(POLICY, attempt, AGAIN)
    policy = replace(POLICY, jitter=jitter)
    found = next_wait(policy, attempt, AGAIN, seed)
    assert whole is not None
    assert found is not None
    assert whole * (1 - jitter) - timedelta(milliseconds=1) <= found <= whole
    assert next_wait(policy, attempt, AGAIN, seed) == found


def test_jitter_sets_executions_apart() -> None:
    policy = replace(POLICY, jitter=0.5)
    assert len({next_wait(policy, 1, AGAIN, f"execution {number}") for number in range(50)}) == 50


def test_a_back_off_doubles_its_wait_up_to_the_longest() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=5))
    assert [backoff.wait(failures).total_seconds() for failures in (1, 2, 3, 4, 100_000)] == [1, 2, 4, 5, 5]


def test_a_back_off_waits_for_as_long_as_it_is_asked_to_within_a_limit() -> None:
    backoff, hour = Backoff(timedelta(seconds=1), timedelta(seconds=5)), timedelta(hours=1)
    assert backoff.wait(1, 60, longest_asked=hour) == timedelta(minutes=1)
    assert backoff.wait(1, 1e300, longest_asked=hour) == hour
    assert backoff.wait(3, -1) == timedelta(seconds=4)
