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
        yield SimpleNamespace()
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
