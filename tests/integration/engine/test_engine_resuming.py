"""What was done before a crash or a stop is not done again."""

import asyncio
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each, fails

from hookline.model.execution import State, StepState


@pytest.mark.promise(2, 3)
async def test_an_action_under_way_at_a_crash_runs_again_with_its_key_and_those_before_do_not(harness: Harness) -> None:
    harness.flow("f", [act("first"), act("second"), act("third")])
    hang = harness.probe.does["second"] = Hang()
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await hang.reached.wait()
        row = await engine.store.execution(execution_id)
        assert row is not None
        assert row.state is State.RUNNING
        assert row.flow_version is not None
    del harness.probe.does["second"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["first", "second", "second", "third"]
    keys = [key for step, _, key, _ in harness.probe.calls if step == "second"]
    assert keys[0] == keys[1]
    assert len({key for _, _, key, _ in harness.probe.calls}) == 3


@pytest.mark.promise(2)
@pytest.mark.rule(14)
async def test_pure_steps_are_recomputed_and_give_the_same(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            {"id": "stamp", "use": "map", "with": {"body": {"at": "$.execution.now", "n": "$.body"}}},
            act("first"),
            {"id": "later", "use": "map", "with": {"body": {"was": "$.steps.stamp.body.at", "now": "$.execution.now"}}},
            act("second"),
        ],
    )
    hang = harness.probe.does["second"] = Hang()
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await hang.reached.wait()
    seen = harness.probe.calls[-1][3]
    del harness.probe.does["second"]
    harness.clock.advance(3600)
    async with harness.engine() as engine:
        await harness.until(engine, execution_id)
    assert harness.probe.calls[-1][0] == "second"
    assert harness.probe.calls[-1][3] == seen


@pytest.mark.promise(2)
async def test_a_finished_action_is_remembered_also_where_the_next_was_cut_off_before_it_began(
    harness: Harness,
) -> None:
    """What is finished is journalled, on a stop as on a crash."""
    harness.flow(
        "f",
        [{"id": "each", "foreach": "$.body", "concurrency": 2, "steps": [act("one", "$.item"), act("two", "$.item")]}],
    )
    hang = harness.probe.does["two"] = Hang()
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        await hang.reached.wait()
    del harness.probe.does["two"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps().count("one") == 2


async def test_items_that_failed_and_were_passed_over_are_not_tried_again_on_resume(harness: Harness) -> None:
    """A resumed execution runs again only what was under way."""
    harness.flow("f", [each(act("bad", "$.item", when="{{ item == 1 }}"), act("post", "$.item",
                  retry={"attempts": 2, "wait": "1m"}), on_error="continue"), act("end")])  # fmt: skip
    again = fails(1)

    async def reject(value: Any) -> Any:
        return await fails(1, retryable=False)(value)

    harness.probe.does = {"bad": reject, "post": again}
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(60)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert harness.probe.steps() == ["bad", "post", "post", "post", "end"]
    assert harness.probe.calls[-1][3] == [2, 3]
    assert [record.state for record in records if record.path == "each[0]/bad"] == [StepState.FAILED]


async def test_a_pure_step_that_failed_and_was_passed_over_leaves_no_other_time_on_resume(harness: Harness) -> None:
    """`execution.now` is the time of the last commit, so that recomputing gives the same."""
    harness.flow(
        "f",
        [
            act("first"),
            {"id": "bad", "use": "map", "with": {"body": "{{ body.nothing }}"}, "on_error": "continue"},
            act("second", {"at": "$.execution.now"}),
        ],
    )
    reached = asyncio.Event()

    async def tick(value: Any) -> Any:
        harness.clock.advance(1)
        return value

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does = {"first": tick, "second": hang}
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {})
        await reached.wait()
    harness.probe.does = {}
    harness.clock.advance(3600)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    values = [value for step, _, _, value in harness.probe.calls if step == "second"]
    assert values[0] == values[1]
    assert len([record for record in records if record.path == "bad"]) == 1
