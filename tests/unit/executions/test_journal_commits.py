"""The commits of a journal, which concurrent steps share."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hookline.executions.journal.journal import Journal
from hookline.kernel.errors import IllegalStateChange
from hookline.model.execution import StepState
from hookline.testing.clock import ManualClock

CLOCK = ManualClock()


async def test_no_step_acts_after_a_commit_that_was_illegal_also_if_it_was_anothers() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def commit(_changes: object) -> Any:
        begun.set()
        await go.wait()
        raise IllegalStateChange("it was cancelled")

    services: Any = SimpleNamespace(store=None, clock=CLOCK, commit=commit)
    journal = Journal("id", services, (), ())
    journal.record("a", "probe.act", StepState.SUCCEEDED, 1, CLOCK.now())
    first = asyncio.create_task(journal.before_effect("b"))
    await begun.wait()
    # It comes while the commit is under way, and another one after it.
    second = asyncio.create_task(journal.before_effect("c"))
    await asyncio.sleep(0)
    go.set()
    for waits in (first, second, journal.before_effect("d"), journal.flush()):
        with pytest.raises(IllegalStateChange):
            await waits
