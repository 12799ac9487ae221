"""What `/readyz` says of where messages and their files are kept."""

import asyncio
from typing import Any

import pytest
import structlog

from hookline.kernel.errors import StoreError
from hookline.service.admin.system.health import FILES_EVERY, Readiness, Trouble
from hookline.telemetry.store_problem import StoreProblem
from hookline.testing.hook_over_memory import StillClock

BAD: Any = StoreError("the bucket is away")


class Pinged:
    """What answers pings, or fails."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.pings = 0
        self.hangs = False

    async def ping(self) -> None:
        self.pings += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


class ReadinessHarness:
    def __init__(self) -> None:
        self.store, self.blobs, self.clock = Pinged(), Pinged(), StillClock()
        log: Any = structlog.get_logger()
        store: Any = self.store
        blobs: Any = self.blobs
        self.readiness = Readiness(store, blobs, self.clock, StoreProblem(store, blobs, self.clock, log))

    async def trouble(self) -> Trouble | None:
        return await self.readiness.trouble()


@pytest.mark.rule(38)
async def test_trouble_with_either_is_told_with_its_reason_and_logged_as_one_problem() -> None:
    harness = ReadinessHarness()
    assert await harness.trouble() is None
    await harness.clock.sleep(FILES_EVERY)
    with structlog.testing.capture_logs() as logs:
        harness.blobs.failure = BAD
        assert await harness.trouble() == Trouble("files can't be kept", "the bucket is away")
        assert await harness.trouble() == Trouble("files can't be kept", "the bucket is away")
        harness.store.failure = StoreError("the disk is full")
        assert await harness.trouble() == Trouble("the store can't be used", "the disk is full")
    assert [(log["log_level"], log["event"], log["error"]) for log in logs] == [
        ("error", "the store can't be used", "the bucket is away"),
    ]
    harness.store.failure = harness.blobs.failure = None
    await harness.clock.sleep(FILES_EVERY)
    assert await harness.trouble() is None


async def test_a_bucket_is_asked_twice_a_minute_however_often_somebody_asks() -> None:
    harness = ReadinessHarness()
    for _ in range(60):
        await harness.trouble()
        await harness.clock.sleep(1)
    assert (harness.store.pings, harness.blobs.pings) == (60, 2)


@pytest.mark.rule(38)
async def test_a_bucket_that_gives_no_answer_is_trouble_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.service.admin.system.health._FILES_TIMEOUT", 0.01)
    harness = ReadinessHarness()
    harness.blobs.hangs = True
    assert await harness.trouble() == Trouble("files can't be kept", "the blob store gives no answer in 0.01 s")
