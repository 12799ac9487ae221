"""A queue that can't be read is read again, and its defect is logged when it begins and when it ends."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from hookline.executions.delivery import dispatcher
from hookline.executions.delivery.dispatcher import Dispatcher
from hookline.testing.clock import ManualClock


class Runner:
    """Only notes that it ran something."""

    def __init__(self) -> None:
        self.ran = asyncio.Event()

    async def run(self, _delivery: object, _flow: object = None) -> None:
        self.ran.set()


async def test_a_defect_of_a_queue_is_logged_when_it_begins_and_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    async def deliveries(_flow_id: str, *, begun_only: bool, limit: int | None) -> AsyncIterator[Any]:
        nonlocal reads
        reads += 1
        if reads <= 5:
            raise RuntimeError(f"read {reads}")
        clock.advance(5)
        yield SimpleNamespace(current=True)
        await asyncio.Event().wait()

    monkeypatch.setattr(dispatcher, "_AGAIN", 0)
    clock, runner, queue = ManualClock(), Runner(), SimpleNamespace(deliveries=deliveries)
    unused: Any = None
    lanes = Dispatcher(queue, runner, clock, structlog.get_logger(), unused)  # type: ignore[arg-type]  # of their kinds
    with structlog.testing.capture_logs() as logs:
        await lanes.open("f", 1)
        async with asyncio.timeout(30):
            await runner.ran.wait()
        await lanes.stop(1)
    assert [(log["log_level"], log["event"], log["flow_id"]) for log in logs] == [
        ("error", "defect of the queue of a flow; trying again", "f"),
        ("info", "the queue of a flow works again", "f"),
    ]
    assert (str(logs[0]["exc_info"]), logs[1]["times"]) == ("read 1", 5)


class _Endless(Runner):
    """Runs until it is cancelled, and keeps what it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    async def run(self, delivery: object, _flow: object = None) -> None:
        self.given.append(delivery)
        self.ran.set()
        await asyncio.Event().wait()


@pytest.mark.cluster_rule("C1", "C2")
async def test_after_a_lost_lease_nothing_runs_that_was_delivered_before() -> None:
    """One delivery runs, one waits for its slot, some are in the lane, and one waits for room there."""
    given = [SimpleNamespace(current=True, number=number) for number in range(40)]
    later = asyncio.Event()
    fresh = SimpleNamespace(current=True, number=40)

    async def deliveries(_flow_id: str, *, begun_only: bool, limit: int | None) -> AsyncIterator[Any]:
        for delivery in given:
            yield delivery
        await later.wait()
        yield fresh
        await asyncio.Event().wait()

    runner, unused = _Endless(), SimpleNamespace()
    queue = SimpleNamespace(deliveries=deliveries)
    lanes = Dispatcher(queue, runner, ManualClock(), structlog.get_logger(), unused)  # type: ignore[arg-type]  # of their kinds
    await lanes.open("f", 1)
    async with asyncio.timeout(30):
        await runner.ran.wait()
    for _ in range(10):
        await asyncio.sleep(0)  # the lane fills up
    for delivery in given:
        delivery.current = False
    await lanes.drop()
    runner.ran.clear()
    later.set()
    async with asyncio.timeout(30):
        await runner.ran.wait()
    assert [delivery.number for delivery in runner.given] == [0, 40]
    await lanes.stop(0)


class _Given:
    """A queue that gives its deliveries to the reader of the moment."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[Any] = asyncio.Queue()

    async def deliveries(self, _flow_id: str, *, begun_only: bool, limit: int | None) -> AsyncIterator[Any]:
        while True:
            yield await self.given.get()

    def give(self) -> None:
        """Give one more delivery."""

        async def redeliver(_after: float) -> None:
            self.give()

        self.given.put_nowait(SimpleNamespace(current=True, redeliver=redeliver))


class _Runs(Runner):
    """Runs until the test ends one."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[asyncio.Event] = []

    async def run(self, _delivery: object, _flow: object = None) -> None:
        end = asyncio.Event()
        self.ends.append(end)
        await end.wait()


def _dispatcher(queue: Any, runner: Any) -> Dispatcher:
    unused: Any = SimpleNamespace()
    return Dispatcher(queue, runner, ManualClock(), structlog.get_logger(), unused)


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lane_that_is_opened_anew_counts_what_runs_already() -> None:
    queue, runner = _Given(), _Runs()
    lanes = _dispatcher(queue, runner)
    await lanes.open("f", 1)
    for _ in range(4):
        queue.give()
    await _settle()
    await lanes.open("f", 1, begun_only=True)  # paused
    await lanes.open("f", 1)
    await lanes.close("f")  # deleted, and deployed again
    await lanes.open("f", 1)
    await _settle()
    assert len(runner.ends) == 1
    await lanes.open("f", 2)
    await _settle()
    assert len(runner.ends) == 2
    await lanes.open("f", 1)
    runner.ends[0].set()
    await _settle()
    assert len(runner.ends) == 2
    runner.ends[1].set()
    await _settle()
    assert len(runner.ends) == 3
    await lanes.stop(0)


@pytest.mark.cluster_rule("C1")
async def test_an_execution_that_is_dropped_before_it_begins_gives_its_slot_back() -> None:
    queue, runner = _Given(), _Runs()
    lanes = _dispatcher(queue, runner)
    await lanes.open("f", 1)
    queue.give()
    async with asyncio.timeout(30):
        while not lanes.running:  # noqa: ASYNC110 - it is several tasks away
            await asyncio.sleep(0)
    assert runner.ends == []
    await lanes.drop()
    queue.give()
    await _settle()
    assert len(runner.ends) == 1
    await lanes.stop(0)
