"""A problem of the store is logged once when it begins, and once when it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from hookline.kernel.errors import StoreError
from hookline.telemetry.store_problem import QUIET, StoreProblem
from hookline.testing.clock import ManualClock

pytestmark = pytest.mark.rule(38)


class Pinged:
    failure: Exception | None = None
    pings = 0

    async def ping(self) -> None:
        self.pings += 1
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Pinged:
    return Pinged()


@pytest.fixture
def blobs() -> Pinged:
    return Pinged()


@pytest.fixture
async def problem(store: Any, blobs: Any, clock: ManualClock) -> AsyncIterator[StoreProblem]:
    problem = StoreProblem(store, blobs, clock, structlog.get_logger())
    task = asyncio.create_task(problem.run())
    yield problem
    task.cancel()
    await asyncio.wait((task,))


async def _pass(clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance(1)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_failures_are_one_problem_with_a_length(
    problem: StoreProblem, store: Pinged, clock: ManualClock
) -> None:
    with structlog.testing.capture_logs() as logs:
        store.failure = StoreError("it hangs")
        for number in range(100):
            problem.report(StoreError(f"it hangs {number}"), flow_id="f")
        await _pass(clock, 20)
        store.failure = None
        await _pass(clock, 3)
        problem.report(StoreError("it hangs again"))
        await _pass(clock, int(2 * QUIET))
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("error", "the store can't be used"),
        ("warning", "the store can be used again"),
    ]
    assert (logs[0]["error"], logs[0]["flow_id"]) == ("it hangs 0", "f")
    assert 20 <= logs[1]["seconds"] <= 25


async def test_a_problem_of_files_ends_when_files_can_be_stored(
    problem: StoreProblem, blobs: Pinged, clock: ManualClock
) -> None:
    with structlog.testing.capture_logs() as logs:
        blobs.failure = StoreError("the bucket is away")
        for _ in range(3):
            problem.report(blobs.failure)
            await _pass(clock, int(2 * QUIET))
        assert len(logs) == 1
        blobs.failure = None
        await _pass(clock, int(2 * QUIET))
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("error", "the store can't be used"),
        ("warning", "the store can be used again"),
    ]


async def test_a_store_without_problem_isnt_asked(problem: StoreProblem, store: Pinged, clock: ManualClock) -> None:
    await _pass(clock, 10)
    assert store.pings == 0
    with structlog.testing.capture_logs() as logs:
        problem.report(StoreError("a"))
        await _pass(clock, int(2 * QUIET))
        problem.report(StoreError("b"))
    assert [log.get("error") for log in logs] == ["a", None, "b"]
