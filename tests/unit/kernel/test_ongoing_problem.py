"""Problems that go on: one line when they begin, one when they end, however often they are noticed."""

import pytest
import structlog

from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def problem(clock: ManualClock) -> OngoingProblem:
    return OngoingProblem(structlog.get_logger("hookline"), clock, "it fails", "it works")


@pytest.mark.rule(37)
def test_a_problem_is_logged_when_it_begins_and_when_it_ends(problem: OngoingProblem, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as lines:
        problem.absent()
        for number in range(1000):
            problem.noticed(error=number)
        clock.advance(30)
        problem.absent()
        problem.absent()
        problem.noticed(error="again")
    assert lines == [
        {"event": "it fails", "log_level": "error", "error": 0},
        {"event": "it works", "log_level": "info", "times": 1000, "seconds": 30.0},
        {"event": "it fails", "log_level": "error", "error": "again"},
    ]


@pytest.mark.rule(37)
def test_a_problem_that_comes_and_goes_is_one_problem(problem: OngoingProblem, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            problem.noticed()
            problem.absent()
            clock.advance(0.1)
    assert len(lines) == 1


@pytest.mark.rule(37)
def test_a_long_problem_is_logged_again_each_minute(problem: OngoingProblem, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(150):
            problem.noticed()
            clock.advance(1)
    assert [line.get("times") for line in lines] == [None, 61, 121]


@pytest.mark.rule(37)
def test_things_have_their_own_problems_within_a_bound(problem: OngoingProblem, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as lines:
        for name in ("a", "b", "a", "b"):
            problem.noticed(name, flow=name)
        clock.advance(5)
        problem.absent("a", flow="a")
        for number in range(5000):
            problem.noticed(f"{number}")
    assert [line.get("flow") for line in lines[:3]] == ["a", "b", "a"]
    assert len(lines) < 1100
