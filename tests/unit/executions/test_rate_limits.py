"""Turns at steps that have a rate are spaced evenly for all that ask, at any time."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.executions.rate_limits import StepRates
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.backoff import LONGEST_IN_PLACE
from hookline.storage.cluster import Alone
from hookline.storage.limit_parts import NodeParts, Parts, PartsMoved, PartsRequest
from hookline.testing.clock import ManualClock

_STEP = "flow step"
_SPACE = timedelta(milliseconds=200)


def close(*times: timedelta) -> list[timedelta]:
    """Times without the last digits."""
    return [timedelta(microseconds=round(time / timedelta(microseconds=1), -2)) for time in times]


async def test_turns_are_given_one_after_the_other() -> None:
    rates, clock = StepRates(), ManualClock()
    turns = [await rates.turn(_STEP, "5/s", clock, had_one=False) for _ in range(4000)]
    assert close(*turns) == [_SPACE * place for place in range(4000)]


async def test_each_step_of_each_flow_has_a_line_of_its_own() -> None:
    rates, clock = StepRates(), ManualClock()
    names = ("f s", "f t", "g s")
    assert [await rates.turn(name, "1/m", clock, had_one=False) for name in names] == [timedelta()] * 3


async def test_who_comes_back_at_its_time_runs_at_once_and_keeps_its_place_before_newcomers() -> None:
    rates, clock = StepRates(), ManualClock()
    turns = [await rates.turn(_STEP, "1/m", clock, had_one=False) for _ in range(3)]
    clock.advance(turns[1].total_seconds())
    assert await rates.turn(_STEP, "1/m", clock, had_one=True) == timedelta()
    newcomer = await rates.turn(_STEP, "1/m", clock, had_one=False)
    assert close(newcomer) == close(turns[2] - turns[1] + timedelta(minutes=1))


async def test_a_thousand_that_are_late_together_are_spaced_anew() -> None:
    rates, clock = StepRates(), ManualClock()  # of a process that has just started: another one gave them their times
    late = [await rates.turn(_STEP, "5/s", clock, had_one=True) for _ in range(1000)]
    assert close(*sorted(late)) == [_SPACE * place for place in range(1000)]


@given(
    asked=st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=60),
    rate=st.sampled_from(("5/s", "1/s", "90/m")),
)
async def test_no_two_run_closer_than_the_rate_says(asked: list[tuple[int, bool]], rate: str) -> None:
    rates, clock, ran = StepRates(), ManualClock(), list[timedelta]()
    for milliseconds, had_one in asked:
        clock.advance(milliseconds / 1000)
        wait = await rates.turn(_STEP, rate, clock, had_one=had_one)
        assert wait >= timedelta()
        if wait <= LONGEST_IN_PLACE:
            ran.append(timedelta(seconds=clock.monotonic()) + wait)
    count, _, unit = rate.partition("/")
    space = timedelta(seconds={"s": 1, "m": 60}[unit] / int(count)) - timedelta(microseconds=10)
    ran.sort()
    assert all(later - earlier >= space for earlier, later in pairwise(ran))


class _Node(Alone):
    """A node of a table with ten parts."""

    shared = True  # type: ignore[assignment, misc] # the other one is alone

    def __init__(self, clock: ManualClock, parts: int) -> None:
        super().__init__(clock)
        self.parts = parts
        """Those that it gets when it asks."""
        self.requests: list[PartsRequest] = []

    async def move_limit_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        self.requests += requests
        parts = 0 if requests[0].leaves else self.parts
        return [PartsMoved(parts, Parts(parts))] * len(requests)

    async def limit_parts(self, names: object = None) -> Sequence[NodeParts]:
        return [
            NodeParts(one.name, one.rate, "node", True, self.parts, one.need, one.asks)
            for one in self.requests[-1:]
            if not one.leaves
        ]


@pytest.mark.cluster_rule("C7")
async def test_a_node_spaces_the_runs_of_a_step_by_its_own_parts() -> None:
    clock = ManualClock()
    limits = SharedLimits(clock, _Node(clock, 2))
    rates = StepRates(limits)
    first = asyncio.ensure_future(rates.turn(_STEP, "10/s", clock, had_one=False))
    await asyncio.sleep(0)
    assert not first.done(), "it waits for parts"
    await limits.refresh()
    assert await first == timedelta()
    turns = [await rates.turn(_STEP, "10/s", clock, had_one=False) for _ in range(3)]
    assert close(*turns) == [timedelta(seconds=0.5), timedelta(seconds=1), timedelta(seconds=1.5)]


@pytest.mark.cluster_rule("C7")
async def test_without_parts_nothing_runs_and_a_thousand_wait_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.executions.rate_limits._LONGEST", 0.01)
    clock = ManualClock()
    limits = SharedLimits(clock, _Node(clock, 0))
    rates = StepRates(limits)
    turns = [await rates.turn(_STEP, "1/m", clock, had_one=False) for _ in range(1000)]
    assert close(*turns) == [timedelta(seconds=2, minutes=place) for place in range(1000)]
    assert limits.due.is_set(), "it asks for parts"


@pytest.mark.cluster_rule("C7")
async def test_the_parts_of_a_step_that_runs_no_more_are_given_with_what_they_have_to_recover() -> None:
    clock = ManualClock()
    node = _Node(clock, 1)
    limits = SharedLimits(clock, node)
    rates = StepRates(limits)
    limits.of_step(_STEP, "1/h")
    await limits.refresh()
    await rates.turn(_STEP, "1/h", clock, had_one=False)
    clock.advance(100)
    await limits.refresh()
    assert node.requests[-1].leaves
    assert node.requests[-1].recovers_in == pytest.approx(3500)
