"""Flows that change, break, pause and go while their executions run."""

import json

import pytest
from tests.integration.engine_harness import Hang, Harness, act, fails

from hookline.kernel.errors import FlowUnknown
from hookline.model.access import SYSTEM
from hookline.model.execution import State


@pytest.mark.promise(6)
@pytest.mark.rule(11)
async def test_a_running_execution_keeps_its_version_and_a_queued_one_takes_the_new(harness: Harness) -> None:
    harness.flow(
        "f", [act("wait", retry={"attempts": 2, "wait": "1m"}), {"id": "v", "use": "map", "with": {"body": "old"}}]
    )
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        old = await harness.send(engine, "f", 1)
        await harness.until(engine, old, State.WAITING)
        harness.flow("f", [act("wait"), {"id": "v", "use": "map", "with": {"body": "new"}}])
        await engine.version_switch.refresh()
        new = await harness.send(engine, "f", 1)
        await harness.until(engine, new)
    async with harness.engine() as engine:
        harness.clock.advance(60)
        await harness.until(engine, old)
        outputs = [json.loads((await harness.journal(engine, one))["v"].output or b"")["body"] for one in (old, new)]
        assert outputs == ["old", "new"]


@pytest.mark.rule(13)
async def test_an_execution_keeps_the_vars_with_which_it_started(harness: Harness) -> None:
    steps = [act("wait", retry={"attempts": 2, "wait": "1m"}), act("end", {"to": "$.vars.to", "n": "$.vars.n"})]
    harness.flow("f", steps, vars={"to": "file", "n": 1})
    harness.probe.does["wait"] = fails(2)
    sent = []
    for environment in ({"HOOKLINE_VARS_F__TO": "first"}, {"HOOKLINE_VARS_F__TO": "second"}):
        async with harness.engine(environment=environment) as engine:
            sent.append(await harness.send(engine, "f", 1))
            await harness.until(engine, sent[-1], State.WAITING)
    harness.clock.advance(60)
    async with harness.engine() as engine:
        for execution_id in sent:
            await harness.until(engine, execution_id)
    ends = [value for step, _, _, value in harness.probe.calls if step == "end"]
    assert sorted(ends, key=str) == [{"to": "first", "n": 1}, {"to": "second", "n": 1}]


async def test_a_broken_file_leaves_the_last_good_version_serving(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        (harness.folder / "flows" / "f.json").write_text("{", encoding="utf-8")
        await engine.version_switch.refresh()
        assert (await harness.until(engine, await harness.send(engine, "f", 1))).state is State.SUCCEEDED
        (harness.folder / "flows" / "f.json").unlink()
        await engine.version_switch.refresh()
        with pytest.raises(FlowUnknown):
            engine.intake.flow("f")


async def test_a_paused_flow_accepts_and_keeps_and_runs_once_it_is_active(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        harness.flow("f", [act("one")])
        assert harness.probe.calls == []
        await engine.version_switch.refresh()
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        harness.flow("f", [act("one")], state="stopped")
        await engine.version_switch.refresh()
        with pytest.raises(FlowUnknown):
            engine.intake.flow("f")


@pytest.mark.promise(6)
@pytest.mark.rule(11)
async def test_a_flow_that_was_deleted_finishes_what_it_had_begun_and_says_what_the_rest_waits_for(
    harness: Harness,
) -> None:
    """A deploy changes nothing under what runs, also one that takes the flow away."""
    harness.flow("f", [act("one"), act("two")], concurrency=1)
    hang = harness.probe.does["two"] = Hang()
    async with harness.engine(grace=0) as engine:
        begun = await harness.send(engine, "f", 1)
        await hang.reached.wait()
        queued = await harness.send(engine, "f", 2)
    del harness.probe.does["two"]
    file = harness.folder / "flows" / "f.json"
    document = file.read_text(encoding="utf-8")
    file.unlink()
    async with harness.engine() as engine:
        assert (await harness.until(engine, begun)).state is State.SUCCEEDED
        waiting = await harness.until(engine, queued, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        file.write_text(document, encoding="utf-8")
        await engine.version_switch.refresh()
        assert (await harness.until(engine, queued)).state is State.SUCCEEDED


async def test_a_flow_whose_file_is_broken_at_a_start_finishes_what_it_had_begun(harness: Harness) -> None:
    harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"}), act("end")])
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
    (harness.folder / "flows" / "f.json").write_text("{", encoding="utf-8")
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["wait", "wait", "end"]


async def test_a_failed_execution_of_a_flow_that_was_deleted_can_be_retried(harness: Harness) -> None:
    harness.flow("f", [act("done"), act("broken")])
    harness.probe.does["broken"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id)
        (harness.folder / "flows" / "f.json").unlink()
        await engine.version_switch.refresh()
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).attempt == 2
    assert harness.probe.steps() == ["done", "broken", "broken"]
