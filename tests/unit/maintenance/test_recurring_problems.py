"""What is tried again and again is logged once when its problem begins, and once when it ends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from hookline.kernel.errors import StoreError
from hookline.maintenance.disk_budget import DiskBudget
from hookline.maintenance.sweeper import Sweeper
from hookline.testing.clock import ManualClock

pytestmark = pytest.mark.rule(38)


class Files:
    async def disk_usage(self) -> int:
        return 0


class Failing:
    """A store and a purger without data, which fail if they are told to."""

    failure: Exception | None = None

    async def purge(self) -> int:
        if self.failure is not None:
            raise self.failure
        return 0

    async def disk_usage(self) -> Any:
        return SimpleNamespace(total=await self.purge(), free=0)

    async def audit(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(items=())

    async def commit(self, _changes: Any) -> None: ...

    async def executions_with_callbacks(self, *_: Any) -> tuple[str, ...]:
        return ()

    executions_with_files = executions_with_callbacks

    async def has_old_captures(self, _before: Any) -> bool:
        return False

    async def has_expired_sessions(self, _now: Any) -> bool:
        return False

    async def older_than(self, _time: Any) -> AsyncIterator[str]:
        none: tuple[str, ...] = ()
        for blob_id in none:
            yield blob_id


@pytest.mark.parametrize("failure", [StoreError("gone"), OSError("full")])
@pytest.mark.parametrize(("part", "every", "lines"), [("budget", 10, 2), ("sweeper", 900, 4)])
async def test_many_failed_attempts_are_one_problem_that_is_logged_once_a_minute_at_most(
    part: str, every: float, lines: int, failure: Exception
) -> None:
    store: Any = Failing()
    files: Any = Files()
    clock, log, day = ManualClock(), structlog.get_logger(), timedelta(days=1)
    parts: dict[str, DiskBudget | Sweeper] = {
        "budget": DiskBudget(store, files, store, lambda *_: None, clock, log, 1_000_000),
        "sweeper": Sweeper(store, store, clock, log, day, day, store, day),
    }
    running = asyncio.create_task(parts[part].run())
    await clock.until_sleeping(1)
    with structlog.testing.capture_logs() as logs:
        for attempt in range(5):
            store.failure = failure if attempt < 3 else None
            clock.advance(every)
            await clock.until_sleeping(1)
    running.cancel()
    await asyncio.wait((running,))
    first, *_, last = logs
    assert (first["log_level"], first["error"]) == ("error", str(failure))
    assert (last["log_level"], last["times"]) == ("info", 3)
    assert [one["event"] for one in logs[:-1]] == [first["event"]] * (lines - 1)
