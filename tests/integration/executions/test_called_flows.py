"""Flows that call flows, and flows that take care of failures, on a real store, restarts included."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each, fails

from hookline.cli.operate.execution_text import describe_execution
from hookline.engine import Engine
from hookline.kernel.errors import VersionOutdated
from hookline.kernel.json import decode, encode
from hookline.model.access import SYSTEM
from hookline.model.execution import Execution, ExecutionFilter, Outcome, State, StepState
from hookline.model.message import Envelope
from hookline.service.views.executions import execution_view
from hookline.storage.change_declarations import Accept, Cancel, Change, CommitResult


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def call(flow_id: str = "child", step_id: str = "call", **settings: Any) -> dict[str, Any]:
    """A step that calls a flow; `settings` that are the step's own stand beside `with`."""
    own = {name: settings.pop(name) for name in ("timeout", "retry", "on_error", "when") if name in settings}
    return {"id": step_id, "use": "flow", "with": {"id": flow_id, **settings}, **own}


async def of_flow(engine: Engine, flow_id: str = "child") -> list[Execution]:
    """A flow's executions, oldest first."""
    return [one.execution for one in reversed((await engine.store.executions(ExecutionFilter(flow_id=flow_id))).items)]


async def one_of(engine: Engine, flow_id: str = "child") -> Execution:
    """The one execution of a flow, as soon as there is one."""
    async with asyncio.timeout(30):
        while not (found := await of_flow(engine, flow_id)):  # noqa: ASYNC110 - what is waited for is several tasks away
            await asyncio.sleep(0.002)
    (execution,) = found
    return execution


async def message_of(engine: Engine, execution_id: str) -> Envelope:
    envelope = await engine.store.envelope(execution_id)
    assert envelope is not None
    return envelope


async def output(harness: Harness, engine: Engine, execution_id: str, path: str = "call") -> Any:
    record = (await harness.journal(engine, execution_id))[path]
    assert record.output is not None
    return decode(record.output)


# --- calling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["replay", "move"])
async def test_a_step_that_was_skipped_before_calls_when_its_condition_holds(harness: Harness, how: str) -> None:
    harness.probe.does.update(bad=fails(1, retryable=how == "move"))
    harness.flow("child", [act("inside", 1)])
    steps = [call(when="{{ vars.on }}"), act("bad", 1, retry={"attempts": 2, "wait": "10m"})]
    harness.flow("f", steps, vars={"on": False})
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING, State.FAILED)
        harness.flow("f", steps, vars={"on": True})
        await engine.version_switch.refresh()
        if how == "replay":
            execution_id = await engine.operations.replay(execution_id, by=SYSTEM, step="bad")
        else:
            await engine.migration.migrate(execution_id, "current", by=SYSTEM)
            harness.clock.advance(601)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["bad", "inside", "bad"]


async def test_a_step_gives_the_last_body_of_the_flow_that_it_calls(harness: Harness) -> None:
    harness.flow("child", [act("double", "{{ body.n * 2 }}")])
    harness.flow("f", [call(body={"n": "$.body.number"}), act("after", ["$.body", "$.steps.call.outcome"])])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"number": 4})
        done = await harness.until(engine, execution_id)
        child = await one_of(engine)
        assert (done.outcome, child.outcome) == (Outcome.COMPLETED, Outcome.COMPLETED)
        assert harness.probe.calls[-1][3] == [8, "completed"]
        given = await output(harness, engine, execution_id)
        assert given == {"body": 8, "execution_id": child.id, "outcome": "completed"}
        parent = (await message_of(engine, child.id)).arrival.parent
        assert parent is not None
        assert (parent.execution_id, parent.flow_id, parent.path, parent.depth) == (execution_id, "f", "call", 1)
        assert await engine.store.waits(execution_id) == ()


async def test_the_current_message_is_what_a_flow_gets_unless_the_step_says_otherwise(harness: Harness) -> None:
    harness.flow("child", [act("look", ["$.body", "$.headers"])])
    harness.flow("f", [call(headers={"X-From": "$.body.n"}), call("child", "again", body=None, headers={})])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": "seven"})
        await harness.until(engine, execution_id)
    assert [seen[3] for seen in harness.probe.calls] == [[{"n": "seven"}, {"x-from": "seven"}], [None, {}]]


async def test_a_step_that_does_not_wait_gives_the_executions_id_at_once(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)
    harness.flow("child", [act("slow")])
    harness.flow("f", [call(wait=False), act("after", ["$.body", "$.steps.call.execution_id"])])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        child = await one_of(engine)
        after = next(seen for seen in harness.probe.calls if seen[0] == "after")
        assert after[3] == [{"execution_id": child.id}, child.id]
        await hang.reached.wait()
        parent = (await message_of(engine, child.id)).arrival.parent
        assert parent is not None
        assert (parent.execution_id, parent.waits_at) == (execution_id, None)


async def test_a_waiting_caller_holds_nothing_and_outlives_restarts(harness: Harness) -> None:
    harness.flow("child", [{"use": "sleep", "with": {"for": "1h"}}, act("work", "done")])
    harness.flow("f", [act("before"), call(), act("after", "$.body")], concurrency=1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert (waiting.reason, waiting.ready_at) == ("flow", None)
        await harness.until(engine, (await one_of(engine)).id, State.WAITING)
    harness.clock.advance(3601)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["before", "work", "after"]
        assert harness.probe.calls[-1][3] == "done"
        assert len(await of_flow(engine)) == 1


async def test_each_item_of_a_foreach_calls_for_itself(harness: Harness) -> None:
    harness.flow("child", [act("double", "{{ body * 2 }}")])
    harness.flow("f", [each(call(body="$.item"), concurrency=3)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3, 4])
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert (await output(harness, engine, execution_id, "each"))["body"] == [2, 4, 6, 8]
        assert len(await of_flow(engine)) == 4
        assert engine.intake.backlog("child") == 0


async def test_a_flow_that_is_filtered_gives_nothing_and_says_so(harness: Harness) -> None:
    harness.flow("child", [{"use": "filter", "with": {"keep": False}}])
    harness.flow("f", [call(), act("after", ["$.body", "$.steps.call.outcome"])])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "f", {"n": 1}))
        assert harness.probe.calls[-1][3] == [None, "filtered"]


async def test_a_paused_flow_keeps_what_calls_it_until_it_is_active(harness: Harness) -> None:
    harness.flow("child", [act("work", 1)], state="paused")
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id, State.WAITING)).reason == "flow"
        assert (await one_of(engine)).state is State.QUEUED
        assert engine.intake.backlog("child") == 1
        harness.flow("child", [act("work", 1)])
        await engine.version_switch.refresh()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert engine.intake.backlog("child") == 0


async def test_a_call_whose_commit_is_repeated_by_another_delivery_is_queued_once(harness: Harness) -> None:
    harness.flow("child", [act("work", 1)], state="paused")
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        commit, outdated = engine.store.commit, 0

        async def reject_once(changes: Sequence[Change]) -> Sequence[CommitResult]:
            nonlocal outdated
            calls = any(isinstance(change, Accept) and change.envelope.flow_id == "child" for change in changes)
            if calls and not outdated:
                outdated += 1
                raise VersionOutdated("another node has deployed the flow")
            return await commit(changes)

        engine.store.commit = reject_once  # type: ignore[method-assign]
        execution_id = await harness.send(engine, "f", {})
        await harness.advance_until(engine, execution_id, State.WAITING)
        assert (outdated, engine.intake.backlog("child")) == (1, 1)
        harness.flow("child", [act("work", 1)])
        await engine.version_switch.refresh()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert engine.intake.backlog("child") == 0


# --- what keeps a flow from being called -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["stopped", "missing"])
async def test_a_flow_that_is_stopped_or_missing_fails_the_step(harness: Harness, state: str) -> None:
    if state == "stopped":
        harness.flow("child", [act("work")], state="stopped")
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {}))
        assert failed.error is not None
        assert (failed.error.code, failed.error.step) == ("flow.unknown", "call")
        assert "'child'" in failed.error.message


async def test_a_flow_that_is_broken_blocks_its_callers_until_it_is_repaired(harness: Harness) -> None:
    harness.flow("child", [{"use": "nothing.like_it"}])
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: flow 'child' can't run")
        harness.flow("child", [act("work", 1)])
        await engine.version_switch.refresh()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED


async def test_a_body_that_the_flow_does_not_take_fails_the_step(harness: Harness) -> None:
    harness.flow("child", [act("work")], schema={"type": "object", "required": ["sku"]})
    harness.flow("f", [call(body={"skus": 1})])
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {}))
        assert failed.error is not None
        assert failed.error.code == "flow.schema"
        assert "sku" in failed.error.message
        assert not await of_flow(engine)
        assert engine.intake.backlog("child") == 0


async def test_flows_that_call_one_another_without_end_stop_at_a_depth(harness: Harness) -> None:
    harness.flow("f", [call("f")])
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {}))
        assert failed.error is not None
        assert failed.error.code == "flow.depth"
        assert len(await of_flow(engine, "f")) == 17


async def test_a_call_that_would_wait_behind_its_own_caller_is_rejected(harness: Harness) -> None:
    harness.flow("f", [call("g")], order_by="$.body.key")
    harness.flow("g", [call("f", when="$.body.again")])
    async with harness.engine() as engine:
        first = await harness.until(engine, await harness.send(engine, "f", {"key": "a", "again": True}))
        assert first.error is not None
        assert first.error.code == "flow.order"
        assert (await harness.until(engine, await harness.send(engine, "f", {"key": "a", "again": False}))).outcome


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_failed_flow_fails_the_step_with_its_error(harness: Harness) -> None:
    harness.probe.does.update(work=fails(9, retryable=False))
    harness.flow("child", [act("work")])
    error = ["$.error.code", "$.error.step", "$.error.message"]
    harness.flow("f", [{"id": "t", "try": [call()], "catch": [act("tell", error)]}])
    async with harness.engine() as engine:
        assert (await harness.until(engine, await harness.send(engine, "f", {}))).outcome is Outcome.COMPLETED
        code, step, message = harness.probe.calls[-1][3]
        assert (code, step) == ("probe.away", "t/call")
        assert message == f"flow 'child' failed: away (execution {(await one_of(engine)).id}, at work)"


async def test_an_operators_retry_calls_the_flow_again(harness: Harness) -> None:
    harness.probe.does.update(work=fails(1, retryable=False))
    harness.flow("child", [act("work", "well")])
    harness.flow("f", [act("before"), call(), act("after", "$.body")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        failed = await harness.until(engine, execution_id)
        first = await one_of(engine)
        assert failed.error is not None
        assert (failed.error.code, failed.error.step) == ("probe.away", "call")
        assert first.id in failed.error.message
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert sorted(child.state for child in await of_flow(engine)) == [State.FAILED, State.SUCCEEDED]
        assert harness.probe.steps() == ["before", "work", "work", "after"]
        assert harness.probe.calls[-1][3] == "well"


async def test_a_step_calls_again_where_it_says_retry(harness: Harness) -> None:
    harness.probe.does.update(work=fails(2, retryable=False))
    harness.flow("child", [act("work", 1)])
    harness.flow("f", [call(retry={"attempts": 3, "wait": "1m", "on": ["probe.*"]})])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        done = await harness.advance_until(engine, execution_id)
        assert done.outcome is Outcome.COMPLETED
        children = await of_flow(engine)
        assert sorted(child.state for child in children) == [State.FAILED, State.FAILED, State.SUCCEEDED]
        assert (await harness.journal(engine, execution_id))["call"].attempt == 3


async def test_a_flow_that_takes_too_long_is_cancelled_and_the_step_fails(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)
    harness.flow("child", [{"id": "t", "try": [act("slow")], "finally": [act("clean_up")]}])
    harness.flow("f", [{"id": "t", "try": [call(timeout="10m")], "catch": [act("tell", "$.error.code")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        child = await one_of(engine)
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(601)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert (await harness.until(engine, child.id)).state is State.CANCELLED
        assert {"clean_up", "tell"} <= set(harness.probe.steps())
        assert [seen[3] for seen in harness.probe.calls if seen[0] == "tell"] == ["timed_out"]


# --- cancelling ------------------------------------------------------------------------------------------------------


async def test_cancelling_the_caller_cancels_what_it_waits_for(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)
    harness.flow("child", [{"id": "t", "try": [act("slow")], "finally": [act("clean_up")]}])
    harness.flow("f", [{"id": "t", "try": [call()], "finally": [act("report")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        child = await one_of(engine)
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).state is State.CANCELLED
        assert (await harness.until(engine, child.id)).state is State.CANCELLED
        assert set(harness.probe.steps()) == {"slow", "clean_up", "report"}


@pytest.mark.parametrize("queued", [True, False])
async def test_a_flow_that_is_cancelled_by_itself_fails_the_step(harness: Harness, queued: bool) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)
    harness.flow("child", [act("slow")], state="paused" if queued else "active")
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        if not queued:
            await hang.reached.wait()
        child = await one_of(engine)
        await engine.operations.cancel(child.id, by=SYSTEM)
        failed = await harness.until(engine, execution_id)
        assert failed.error is not None
        assert failed.error.code == "flow.cancelled"
        assert child.id in failed.error.message
        assert engine.intake.backlog("child") == 0


async def test_what_ends_the_block_around_a_call_cancels_the_flow(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)

    async def fail_then(_: Any) -> Any:
        await hang.reached.wait()
        return await fails(1, retryable=False)(None)

    harness.probe.does.update(bad=fail_then)
    harness.flow("child", [act("slow")])
    harness.flow("f", [{"id": "fan", "parallel": {"a": [call()], "b": [act("bad")]}}])
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {}))
        assert failed.error is not None
        assert failed.error.code == "probe.away"
        assert (await harness.until(engine, (await one_of(engine)).id)).state is State.CANCELLED


@pytest.mark.rule(32)
async def test_a_called_flow_that_ended_before_the_failure_beside_it_is_not_called_again(harness: Harness) -> None:
    once, ended = fails(1, retryable=False), asyncio.Event()

    async def bad(value: Any) -> Any:
        await ended.wait()
        return await once(value)

    harness.probe.does.update(bad=bad)
    harness.flow("child", [act("work")])
    harness.flow("f", [{"id": "p", "parallel": {"a": [call()], "b": [act("bad")]}}, act("after")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, (await one_of(engine)).id)
        ended.set()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.FAILED
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
        await one_of(engine)
    assert sorted(harness.probe.steps()) == ["after", "bad", "bad", "work"]


async def test_a_wish_to_cancel_that_outlives_the_process_reaches_the_called_flow(harness: Harness) -> None:
    harness.flow("child", [{"use": "sleep", "with": {"for": "10h"}}])
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, (await one_of(engine)).id, State.WAITING)
        await harness.until(engine, execution_id, State.WAITING)
    async with harness.engine(role="webhook") as engine:
        await engine.store.commit((Cancel(execution_id, harness.clock.now()),))
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.CANCELLED
        assert (await harness.until(engine, (await one_of(engine)).id)).state is State.CANCELLED


# --- flows that take care of failures --------------------------------------------------------------------------------


async def test_a_failure_starts_the_flow_that_takes_care_of_it(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(9, retryable=False))
    harness.flow("care", [act("tell", "$.body")])
    harness.flow("f", [act("bad")], on_error="care")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 1})
        failed = await harness.until(engine, execution_id)
        care = await one_of(engine, "care")
        assert (await harness.until(engine, care.id)).outcome is Outcome.COMPLETED
        told = harness.probe.calls[-1][3]
        assert told["error"] == {"code": "probe.away", "message": "away", "step": "bad", "retryable": False}
        assert told["input"] == {"body": {"n": 1}, "headers": {}}
        about = told["execution"]
        assert (about["id"], about["flow_id"], about["flow_version"]) == (execution_id, "f", failed.flow_version)
        assert about["created_at"] <= about["started_at"]
        # Once for each time that it fails.
        await engine.operations.retry(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id)
        assert len(await of_flow(engine, "care")) == 2


async def test_what_is_cancelled_is_no_failure_and_a_timeout_is_one(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(slow=hang)
    harness.flow("care", [act("tell", "$.body.error.code")])
    harness.flow("f", [act("slow")], on_error="care", timeout="5m")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        await engine.operations.cancel(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id)
        assert not await of_flow(engine, "care")
        hang.reached.clear()
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        harness.clock.advance(301)
        await harness.until(engine, execution_id)
        await harness.until(engine, (await one_of(engine, "care")).id)
        assert harness.probe.calls[-1][3] == "flow.timed_out"


async def test_a_flow_that_takes_care_and_fails_starts_nothing_more(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(9, retryable=False))
    harness.flow("care", [act("bad")], on_error="care")
    harness.flow("f", [act("bad")], on_error="care")
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "f", {}))
        care = await one_of(engine, "care")
        assert (await harness.until(engine, care.id)).state is State.FAILED
        assert len(await of_flow(engine, "care")) == 1


async def test_a_missing_flow_for_failures_changes_nothing_of_the_failure(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(9, retryable=False))
    harness.flow("f", [act("bad")], on_error="care")
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {}))
        assert failed.error is not None
        assert failed.error.code == "probe.away"


# --- numbers, files and the journal ----------------------------------------------------------------------------------


async def test_the_digits_of_exact_numbers_pass_through_calls(harness: Harness) -> None:
    exact = {"trigger": {"use": "webhook", "with": {"verify": "none", "numbers": "exact"}}}
    harness.flow("child", [{"use": "map", "with": {"body": "$.body"}}], **exact)
    harness.flow("f", [call()], **exact)
    async with harness.engine() as engine:
        number = decode(b"0.12345678901234567890123", exact=True)
        execution_id = await harness.send(engine, "f", number)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        record = (await harness.journal(engine, execution_id))["call"]
        assert record.output is not None
        assert b"0.12345678901234567890123" in record.output


async def test_the_journal_names_the_execution_that_a_step_waits_for(harness: Harness) -> None:
    harness.flow("child", [{"use": "sleep", "with": {"for": "1h"}}])
    harness.flow("f", [call(body={"n": 1})])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        record = (await harness.journal(engine, execution_id))["call"]
        assert (record.state, record.use) == (StepState.WAITING, "flow")
        assert json.loads(record.output or b"") == {"execution_id": (await one_of(engine)).id}
        assert json.loads(record.input or b"") == {"id": "child", "wait": True, "body": {"n": 1}, "headers": {}}


async def test_an_execution_shows_by_which_it_was_started(harness: Harness) -> None:
    harness.flow("child", [act("work")])
    harness.flow("f", [call()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id)
        shown = decode(encode(await execution_view(engine.store, (await one_of(engine)).id)))
        assert shown["trigger"]["parent"]["execution_id"] == execution_id
        assert f"started by execution {execution_id} of f, at call" in describe_execution(shown)


@pytest.mark.rule(55)
async def test_a_flow_says_who_may_call_it(harness: Harness) -> None:
    harness.flow("child", [act("inside", 1)], callable_by=["par*", "other"])
    for caller in ("parent", "f"):
        harness.flow(caller, [call()])
    harness.flow("failing", [{"id": "no", "use": "fail", "with": {"message": "no"}}], on_error="child")
    harness.flow("itself", [{**call("itself"), "when": "{{ body }}"}], callable_by=["nobody"])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "parent", 1), State.SUCCEEDED)
        await harness.until(engine, await harness.send(engine, "itself", True), State.FAILED)
        assert {one.error.code for one in await of_flow(engine, "itself") if one.error} == {"flow.depth"}
        barred = await harness.until(engine, await harness.send(engine, "f", 1), State.FAILED)
        assert barred.error is not None
        assert (barred.error.code, "callable_by" in barred.error.message) == ("flow.not_callable", True)
        await harness.until(engine, await harness.send(engine, "failing", 1), State.FAILED)
        assert len(await of_flow(engine)) == 1
