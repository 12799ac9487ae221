"""What lacks something waits, and goes on when it is there."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, each, fails
from tests.integration.store_trouble import Trouble, holds

from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.storage.change_declarations import Change, Park, Unblock


def secret(step_id: str = "use") -> dict[str, Any]:
    return {"id": step_id, "use": "probe.secret", "with": {"password": "hunter2"}, "credential": "key"}


@pytest.mark.rule(12)
async def test_what_lacks_a_credential_waits_and_goes_on_when_it_is_there(harness: Harness) -> None:
    harness.flow(
        "f", [act("first"), {"id": "use", "use": "probe.secret", "with": {"password": "hunter2"}, "credential": "key"}]
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.ready_at is None
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        assert "key" in waiting.reason
        await engine.credentials.put("key", "probe", {"token": "t0k3n"}, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        record = (await harness.journal(engine, execution_id))["use"]
    assert harness.probe.steps() == ["first"]
    assert b"hunter2" not in (record.input or b"")


async def test_a_cause_that_goes_while_its_execution_is_being_parked_wakes_it_all_the_same(harness: Harness) -> None:
    harness.flow("f", [secret()])
    async with harness.engine() as engine:
        commit, unblocked = engine.store.commit, asyncio.Event()

        async def slow(changes: Sequence[Change]) -> Any:
            if holds(Park)(changes) and not unblocked.is_set():
                await engine.credentials.put("key", "probe", {"token": "t"}, by=SYSTEM)
                async with asyncio.timeout(30):
                    await unblocked.wait()
            results = await commit(changes)
            if holds(Unblock)(changes):
                unblocked.set()
            return results

        engine.store.commit = slow  # type: ignore[method-assign]
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED


async def test_causes_that_go_while_the_store_fails_are_told_later(harness: Harness) -> None:
    harness.flow("f", [secret()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
        trouble = Trouble(engine, holds(Unblock))
        await engine.credentials.put("key", "probe", {"token": "t"}, by=SYSTEM)
        await trouble.until_rejected()
        trouble.rejects = holds()
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED


async def test_an_item_that_is_blocked_goes_on_when_its_cause_goes_also_where_another_waits(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            each(
                {
                    "switch": [
                        {"when": "{{ item == 1 }}", "steps": [act("again", retry={"attempts": 3, "wait": "1h"})]},
                        {"otherwise": True, "steps": [secret(), act("done")]},
                    ]
                }
            )
        ],
    )
    harness.probe.does["again"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        await engine.credentials.put("key", "probe", {"token": "t"}, by=SYSTEM)
        await harness.until_calls(2)
        assert harness.probe.steps() == ["again", "done"]
        waiting = await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(3600)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["again", "done", "again"]
