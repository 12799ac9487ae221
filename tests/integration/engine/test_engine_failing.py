"""Steps that fail: tried again, passed over, or the end of their execution."""

import asyncio
import json
import sqlite3
from typing import Any, cast

import pytest
from tests.integration.engine_harness import SLEEPERS, Harness, act, fails

from hookline.executions.steps.step import StepRun
from hookline.kernel.errors import IllegalStateChange, RateLimited, StepError
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State, StepState


@pytest.mark.promise(5)
async def test_a_retry_of_more_than_a_second_is_a_row_and_not_a_task(harness: Harness) -> None:
    """Waits hold nothing."""
    harness.flow("f", [act("call", retry={"attempts": 3, "wait": "10s", "factor": 2})])
    harness.probe.does["call"] = fails(2)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.ready_at is not None
        assert (waiting.ready_at - harness.clock.now()).total_seconds() == 10
        assert waiting.reason == "retry"
        harness.clock.advance(10)
        await harness.until_calls(2)
        await harness.until(engine, execution_id, State.WAITING)
    # It waits over a restart, too, and is not started early.
    async with harness.engine() as engine:
        assert len(harness.probe.calls) == 2
        harness.clock.advance(20)
        execution = await harness.until(engine, execution_id)
        assert execution.state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert [(r.state, r.attempt) for r in records] == [
        (StepState.WAITING, 1),
        (StepState.WAITING, 2),
        (StepState.SUCCEEDED, 3),
    ]
    assert [attempt for _, attempt, _, _ in harness.probe.calls] == [1, 2, 3]
    assert len({key for _, _, key, _ in harness.probe.calls}) == 1


@pytest.mark.promise(7)
async def test_what_has_used_its_attempts_up_has_failed_and_names_the_cause(harness: Harness) -> None:
    harness.flow("f", [act("call", retry={"attempts": 2, "wait": "500ms"})])
    harness.probe.does["call"] = fails(5)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.clock.until_sleeping(SLEEPERS + 1)
        harness.clock.advance(0.5)
        execution = await harness.until(engine, execution_id)
        assert (execution.state, execution.outcome) == (State.FAILED, Outcome.FAILED)
        assert execution.error is not None
        assert (execution.error.code, execution.error.step, execution.error.retryable) == ("probe.away", "call", True)


@pytest.mark.promise(2)
@pytest.mark.rule(32)
async def test_an_operators_retry_keeps_what_was_done(harness: Harness) -> None:
    harness.flow("f", [act("done"), act("broken")])
    harness.probe.does["broken"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.FAILED
        await engine.operations.retry(execution_id, by=SYSTEM)
        execution = await harness.until(engine, execution_id, State.SUCCEEDED)
        assert execution.attempt == 2
        with pytest.raises(IllegalStateChange):
            await engine.operations.retry(execution_id, by=SYSTEM)
    assert harness.probe.steps() == ["done", "broken", "broken"]


@pytest.mark.rule(21)
async def test_on_error_continue_keeps_the_message_and_says_what_went_wrong(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            act("call", on_error="continue"),
            {"id": "after", "use": "map", "with": {"body": {"kept": "$.body", "code": "$.steps.call.error.code"}}},
        ],
    )
    harness.probe.does["call"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 7)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        after = (await harness.journal(engine, execution_id))["after"]
    assert json.loads(after.output or b"")["body"] == {"kept": 7, "code": "probe.away"}


@pytest.mark.rule(21)
async def test_a_timeout_is_for_one_attempt_and_can_be_tried_again(harness: Harness) -> None:
    harness.flow("f", [act("slow", timeout="10ms", retry={"attempts": 2, "wait": "1s"})])
    calls = 0

    async def slow_once(value: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return value

    harness.probe.does["slow"] = slow_once
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.clock.until_sleeping(SLEEPERS + 1)
        harness.clock.advance(1)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert records[0].error is not None
    assert records[0].error.code == "timed_out"


async def test_a_defect_of_a_connector_is_named_with_its_plugin_and_fails_only_its_execution(harness: Harness) -> None:
    harness.flow("f", [act("call")])

    async def broken(value: Any) -> Any:
        return object() if value == 1 else 1 / 0 if value == 2 else value

    harness.probe.does["call"] = broken
    async with harness.engine() as engine:
        for value, hint in ((1, "no JSON form"), (2, "ZeroDivisionError")):
            execution = await harness.until(engine, await harness.send(engine, "f", value))
            assert execution.error is not None
            assert execution.error.code == "connector.defect"
            assert hint in execution.error.message
            assert "engine_harness" in execution.error.message
        assert (await harness.until(engine, await harness.send(engine, "f", 3))).state is State.SUCCEEDED


class Incomplete(StepError):
    """Its constructor forgets that of StepError."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (
            RateLimited("later", retry_after=cast(float, "30")),
            "in the RateLimited that it raised, `retry_after` must be a number of seconds or None",
        ),
        (Incomplete(), "in the Incomplete that it raised, `message` must be "),
    ],
)
async def test_an_error_whose_fields_are_wrong_fails_its_step_as_a_defect(
    harness: Harness, error: StepError, fault: str
) -> None:
    harness.flow("f", [{**act("call"), "retry": {"attempts": 3}, "on_error": "continue"}, act("next")])

    async def limited(value: Any) -> Any:
        raise error

    harness.probe.does["call"] = limited
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
        records = await engine.store.journal(execution.id)
    assert execution.state is State.SUCCEEDED
    assert records[0].error is not None
    assert records[0].error.code == "connector.defect"
    assert fault in records[0].error.message


async def test_an_action_that_is_cancelled_by_its_own_doing_has_a_defect_and_hangs_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    async def cancelled(value: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    harness.probe.does["one"] = cancelled
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert execution.error.code == "connector.defect"


async def test_an_action_that_wants_to_end_the_process_has_a_defect(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    async def leave(value: Any) -> Any:
        raise SystemExit(3)

    harness.probe.does["one"] = leave
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert execution.error.code == "connector.defect"


async def test_a_defect_of_the_engine_keeps_what_was_done_before_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one"), {"id": "two", "use": "map", "with": {"body": 1}}])
    broken = True

    def choose(*_: Any, **__: Any) -> Any:
        if broken:
            raise RuntimeError("a defect")
        return real(*_, **__)

    real = StepRun._finish
    monkeypatch.setattr(
        StepRun, "_finish", lambda step_run, *rest: (choose if step_run.step.id == "two" else real)(step_run, *rest)
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 7)
        execution = await harness.until(engine, execution_id)
        assert execution.error is not None
        assert execution.error.code == "engine.defect"
        broken = False
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).attempt == 2
    assert harness.probe.steps() == ["one"]


async def test_a_message_that_cant_be_read_fails_and_stops_no_other(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine() as engine:
        spoilt = await harness.send(engine, "f", 1)
        good = await harness.send(engine, "f", 2)
    with sqlite3.connect(harness.folder / "hookline.db") as connection:
        connection.execute("update executions set payload = x'ff' where id = ?", (spoilt,))
    connection.close()
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        assert (await harness.until(engine, good)).state is State.SUCCEEDED
        execution = await harness.until(engine, spoilt)
    assert execution.state is State.FAILED
    assert json.dumps([call[3] for call in harness.probe.calls]) == "[2]"


async def test_a_message_that_cant_be_read_can_be_cancelled(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine() as engine:
        spoilt = await harness.send(engine, "f", 1)
    with sqlite3.connect(harness.folder / "hookline.db") as connection:
        connection.execute("update executions set payload = x'ff' where id = ?", (spoilt,))
    connection.close()
    async with harness.engine() as engine:
        await engine.operations.cancel(spoilt, by=SYSTEM)
        assert (await harness.until(engine, spoilt)).state is State.CANCELLED
