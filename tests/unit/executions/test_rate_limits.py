"""Turns at steps that have a rate are spaced evenly, whoever asks and whenever."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hookline.executions.rate_limits import LONGEST_SLEEP, StepRates

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
SPACE = timedelta(milliseconds=200)


def test_turns_are_given_one_after_the_other() -> None:
    rates = StepRates()
    turns = [rates.turn("f", "s", "5/s", NOW, had_one=False) for _ in range(4000)]
    assert turns == [NOW + SPACE * place for place in range(4000)]


def test_each_step_of_each_flow_has_a_line_of_its_own() -> None:
    rates = StepRates()
    places = (("f", "s"), ("f", "t"), ("g", "s"))
    assert [rates.turn(flow_id, step_id, "1/m", NOW, had_one=False) for flow_id, step_id in places] == [NOW] * 3


def test_who_comes_back_at_its_time_runs_at_once_and_keeps_its_place_before_newcomers() -> None:
    rates = StepRates()
    turns = [rates.turn("f", "s", "1/m", NOW, had_one=False) for _ in range(3)]
    assert rates.turn("f", "s", "1/m", turns[1], had_one=True) == turns[1]
    assert rates.turn("f", "s", "1/m", turns[1], had_one=False) == turns[2] + timedelta(minutes=1)


def test_a_thousand_that_are_late_together_are_spaced_anew() -> None:
    rates = StepRates()  # of a process that has just started: their times were given out by another
    late = [rates.turn("f", "s", "5/s", NOW, had_one=True) for _ in range(1000)]
    assert sorted(late) == [NOW + SPACE * place for place in range(1000)]


@given(
    asked=st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=60),
    rate=st.sampled_from(("5/s", "1/s", "90/m")),
)
def test_no_two_run_closer_than_the_rate_says(asked: list[tuple[int, bool]], rate: str) -> None:
    rates, now, ran = StepRates(), NOW, list[datetime]()
    for milliseconds, had_one in asked:
        now += timedelta(milliseconds=milliseconds)
        at = rates.turn("f", "s", rate, now, had_one=had_one)
        assert at >= now
        if at - now <= LONGEST_SLEEP:
            ran.append(at)
    count, _, unit = rate.partition("/")
    space = timedelta(seconds={"s": 1, "m": 60}[unit] / int(count))
    ran.sort()
    assert all(later - earlier >= space for earlier, later in pairwise(ran))
