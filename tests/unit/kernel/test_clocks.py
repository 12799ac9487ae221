"""The engine's time follows the operating system's, and jumps only where it is told to."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from hookline.kernel.clocks import SystemClock, follow_jumps
from hookline.testing.clock import ManualClock


class _Times:
    """The clocks of an operating system, by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady, self.system = 1_000.0, 1_800_000_000.0
        monkeypatch.setattr(time, "clock_gettime", lambda _: self.steady)
        monkeypatch.setattr(time, "time", lambda: self.system)

    def go_on(self, seconds: float) -> None:
        self.steady += seconds
        self.system += seconds


@pytest.mark.rule(44)
@pytest.mark.parametrize("set_by", [3600.0, -3600.0, 4.0, -4.0])
def test_time_goes_on_steadily_when_the_system_s_clock_is_set_until_the_jump_is_adopted(
    set_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = _Times(monkeypatch)
    clock = SystemClock()
    began = clock.now()
    times.go_on(10)
    assert clock.jump() == timedelta(0)
    times.system += set_by
    times.go_on(1)
    assert abs((clock.now() - began).total_seconds() - 11) < 0.001
    jump = clock.jump()
    assert abs(jump.total_seconds() - set_by) < 0.001
    clock.adopt(jump)
    assert clock.jump() == timedelta(0)
    assert abs((clock.now() - began).total_seconds() - 11 - set_by) < 0.001


@pytest.mark.rule(44)
def test_small_corrections_are_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = _Times(monkeypatch)
    clock = SystemClock()
    began = clock.now()
    for _ in range(10):
        times.go_on(60)
        times.system += 0.1
        clock.now()
    assert clock.jump() == timedelta(0)
    assert abs((clock.now() - began).total_seconds() - 601) < 0.001


@pytest.mark.rule(44)
async def test_a_process_in_which_nothing_waits_adopts_jumps_at_once() -> None:
    clock = ManualClock()
    following = asyncio.create_task(follow_jumps(clock))
    await clock.until_sleeping(1)
    before = clock.now()
    clock.set_back(3600)
    clock.advance(1)
    await clock.until_sleeping(1)
    following.cancel()
    await asyncio.wait((following,))
    assert clock.now() == before + timedelta(seconds=1 - 3600)


@pytest.mark.cluster_rule("C8")
def test_a_clock_that_follows_another_one_goes_on_steadily_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times = _Times(monkeypatch)
    clock = SystemClock()
    database = datetime(2026, 1, 31, 8, tzinfo=UTC)
    clock.follow(database)
    assert clock.now() == database
    # This machine's clock is set, and decides nothing.
    times.system += 3600.0
    times.go_on(10.0)
    assert clock.now() == database + timedelta(seconds=10)
    assert clock.jump() == timedelta(0)
    # The other clock went slower: time stands still until that has caught up.
    clock.follow(database + timedelta(seconds=8))
    assert clock.now() == database + timedelta(seconds=10)
    times.go_on(3.0)
    assert clock.now() == database + timedelta(seconds=11)
