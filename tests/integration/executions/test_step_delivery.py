"""How often a step runs: at most once, at a rate, and again after the errors that it names; restarts included."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each, fails

from hookline.api import Context, Increment, Sleep
from hookline.engine import Engine
from hookline.kernel.backoff import RetryPolicy, next_wait
from hookline.kernel.errors import StepError
from hookline.model.access import SYSTEM
from hookline.model.execution import OUTCOME_UNKNOWN, Execution, Outcome, State, StepState
from hookline.storage.change_declarations import Change, CommitResult, RecordSteps

ONCE = {"delivery": "at_most_once"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def failed_unknown(execution: Execution) -> bool:
    error = execution.error
    return (execution.state, execution.outcome) == (State.FAILED, Outcome.OUTCOME_UNKNOWN) and (
        error is not None and error.code == OUTCOME_UNKNOWN and error.step == "pay" and not error.retryable
    )


# --- at most once ----------------------------------------------------------------------------------------------------


@pytest.mark.rule(23)
async def test_a_step_that_runs_at_most_once_is_noted_before_it_runs(harness: Harness) -> None:
    seen: list[Any] = []
    engines: list[Engine] = []

    async def look(_: Any) -> Any:
        (execution,) = (await engines[0].store.executions()).items
        seen.append(await harness.journal(engines[0], execution.execution.id))

    harness.probe.does.update(pay=look)
    harness.flow("f", [act("pay", **ONCE)])
    async with harness.engine() as engine:
        engines.append(engine)
        execution_id = await harness.send(engine, "f", {"n": 1})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert seen[0]["pay"].state is StepState.STARTED
        assert (await harness.journal(engine, execution_id))["pay"].state is StepState.SUCCEEDED


@pytest.mark.rule(23)
async def test_a_step_that_pauses_after_it_acted_has_acted_when_the_engine_stops_meanwhile(harness: Harness) -> None:
    harness.probe.does.update(pay=lambda _: asyncio.sleep(0, Sleep(1.0)))
    harness.flow("f", [act("pay", **ONCE), act("next")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 1})
        await harness.until_calls(1)
    harness.clock.advance(2)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert harness.probe.steps() == ["pay", "next"]


@pytest.mark.parametrize("result", [Sleep(60), Sleep(0.5), Increment("n")])
async def test_an_action_without_effects_neither_waits_nor_counts(harness: Harness, result: Any) -> None:
    """It runs again whenever its execution goes on, so it would wait and count again."""

    @harness.probe.connector.action(pure=True)
    async def see(ctx: Context[Any]) -> Any:
        return result

    harness.flow("f", [{"id": "see", "use": "probe.see"}])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", 1))
    assert done.error is not None
    assert done.error.code == "connector.defect"
    assert "a pure action returned" in done.error.message


@pytest.mark.promise(3)
@pytest.mark.rule(23)
async def test_what_was_under_way_when_the_engine_stopped_is_not_run_again(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(pay=hang)
    harness.flow("f", [act("pay", **ONCE), act("after")])
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
    harness.probe.does.clear()
    async with harness.engine() as engine:
        assert failed_unknown(await harness.until(engine, execution_id))
        # An operator's retry doesn't repeat it either: only a replay, which has keys of its own, does.
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert failed_unknown(await harness.until(engine, execution_id))
        assert harness.probe.steps() == ["pay"]


@pytest.mark.rule(23)
async def test_catch_handles_an_outcome_that_is_not_known(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(pay=hang)
    harness.flow("f", [{"id": "t", "try": [act("pay", **ONCE)], "catch": [act("ask", "$.error.code")]}])
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
    harness.probe.does.clear()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["pay", "ask"]
        assert harness.probe.calls[-1][3] == OUTCOME_UNKNOWN


async def times_out(_: Any) -> Any:
    await asyncio.Event().wait()


async def says_so(_: Any) -> Any:
    raise StepError("no answer", code="probe.silent", retryable=True, outcome_unknown=True)


async def breaks(_: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.rule(23)
@pytest.mark.parametrize("does", [times_out, says_so, breaks])
async def test_a_failure_that_tells_nothing_of_the_outcome_is_not_tried_again(harness: Harness, does: Any) -> None:
    harness.probe.does.update(pay=does)
    harness.flow("f", [act("pay", **ONCE, timeout="50ms")])
    async with harness.engine() as engine:
        assert failed_unknown(await harness.until(engine, await harness.send(engine, "f", {})))
        assert harness.probe.steps() == ["pay"]


async def test_a_failure_that_is_known_stays_what_it_is_and_is_not_tried_again(harness: Harness) -> None:
    harness.probe.does.update(pay=fails(1))
    harness.flow("f", [act("pay", **ONCE)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        failed = await harness.until(engine, execution_id)
        assert failed.error is not None
        assert (failed.outcome, failed.error.code) == (Outcome.FAILED, "probe.away")
        # It is known that nothing was done: an operator may let it try again.
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED


async def test_what_cancelling_cuts_off_says_that_its_outcome_is_not_known(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does.update(pay=hang)
    harness.flow("f", [{"id": "t", "try": [act("pay", **ONCE)], "finally": [act("report")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.until(engine, execution_id)
        assert (done.state, done.outcome) == (State.CANCELLED, Outcome.OUTCOME_UNKNOWN)
        assert done.error is not None
        assert done.error.code == OUTCOME_UNKNOWN
        assert harness.probe.steps() == ["pay", "report"]
        entry = (await harness.journal(engine, execution_id))["t/pay"]
        assert (entry.state, entry.error) == (StepState.FAILED, done.error)


async def test_what_was_told_to_end_before_it_began_runs_when_an_operator_retries(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    pay = {"id": "t", "try": [act("pay", **ONCE)], "catch": [act("caught", "$.error.code")]}
    harness.flow("f", [{"id": "p", "parallel": {"a": [act("bad")], "b": [pay]}}])
    async with harness.engine() as engine:
        commit = engine.store.commit

        async def slow(changes: Sequence[Change]) -> Sequence[CommitResult]:
            entries = [step for change in changes if isinstance(change, RecordSteps) for step in change.steps]
            if any(entry.state is StepState.STARTED for entry in entries):
                await asyncio.sleep(0.2)
            return await commit(changes)

        monkeypatch.setattr(engine.store, "commit", slow)
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.FAILED
        assert harness.probe.steps() == ["bad"], "it failed while the other's start was committed"
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
        assert sorted(harness.probe.steps()) == ["bad", "bad", "pay"]


async def test_settings_that_are_wrong_are_known_before_it_starts(harness: Harness) -> None:
    harness.flow("f", [act("pay", "$.body.missing", **ONCE)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        failed = await harness.until(engine, execution_id)
        assert failed.outcome is Outcome.FAILED
        assert [r.state for r in await engine.store.journal(execution_id)] == [StepState.FAILED]


async def test_a_missing_credential_blocks_before_it_starts(harness: Harness) -> None:
    harness.flow("f", [{"id": "pay", "use": "probe.secret", "credential": "none", "with": {"password": "x"}, **ONCE}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked")
        assert not await engine.store.journal(execution_id)


# --- rate ------------------------------------------------------------------------------------------------------------


async def test_a_step_with_a_rate_spaces_all_executions_of_the_flow(harness: Harness) -> None:
    ran: list[float] = []

    async def note(_: Any) -> None:
        ran.append(harness.clock.monotonic())

    harness.probe.does.update(call=note)
    harness.flow("f", [act("call", rate="1/m"), act("after")])
    async with harness.engine() as engine:
        ids = [await harness.send(engine, "f", {"n": n}) for n in range(4)]
        waiting = [await harness.until(engine, execution_id, State.WAITING) for execution_id in ids[1:]]
        assert {execution.reason for execution in waiting} == {"rate"}
        dues = sorted(execution.ready_at for execution in waiting if execution.ready_at is not None)
        assert dues == [harness.clock.now() + timedelta(minutes=minutes) for minutes in (1, 2, 3)]
        assert (await harness.until(engine, ids[0])).outcome is Outcome.COMPLETED
        for execution in sorted(waiting, key=lambda one: one.ready_at or one.created_at):
            harness.clock.advance(60)
            assert (await harness.until(engine, execution.id)).outcome is Outcome.COMPLETED
    assert ran == [0, 60, 120, 180]


async def test_those_that_wait_for_their_turn_outlive_a_restart_and_stay_spaced(harness: Harness) -> None:
    ran: list[float] = []

    async def note(_: Any) -> None:
        ran.append(harness.clock.monotonic())

    harness.probe.does.update(call=note)
    harness.flow("f", [act("call", rate="1/m")])
    async with harness.engine() as engine:
        ids = [await harness.send(engine, "f", {"n": n}) for n in range(3)]
        for execution_id in ids[1:]:
            await harness.until(engine, execution_id, State.WAITING)
    # Both turns pass while nothing runs: they don't come together afterwards.
    harness.clock.advance(3600)
    async with harness.engine() as engine:
        await harness.until_calls(2)
        for execution_id in ids:
            await harness.advance_until(engine, execution_id)
    assert len(ran) == 3
    assert ran[2] - ran[1] >= 60


async def test_short_waits_for_a_turn_are_slept_through_in_a_foreach_too(harness: Harness) -> None:
    harness.flow("f", [each(act("call", "$.item", rate="10/s"), concurrency=5)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3, 4, 5])
        begun = harness.clock.monotonic()
        while len(harness.probe.calls) < 5:
            await asyncio.sleep(0.002)
            harness.clock.advance(0.01)
        assert harness.clock.monotonic() - begun >= 0.4
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert (await harness.journal(engine, execution_id))["each[4]/call"].attempt == 1


# --- retry -----------------------------------------------------------------------------------------------------------


async def test_errors_that_a_step_names_are_tried_again_and_no_others(harness: Harness) -> None:
    harness.probe.does.update(named=fails(1, retryable=False), other=fails(1))
    retry = {"attempts": 2, "wait": "0s"}
    harness.flow(
        "f", [act("named", retry={**retry, "on": ["probe.*"]}), act("other", retry={**retry, "on": ["http.503"]})]
    )
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.error is not None
        assert done.error.step == "other"
        assert harness.probe.steps() == ["named", "named", "other"]


async def test_jitter_follows_from_the_execution_and_the_step(harness: Harness) -> None:
    harness.probe.does.update(late=fails(9))
    harness.flow("f", [act("late", retry={"attempts": 2, "wait": "30d", "cap": "30d", "jitter": 1})])
    # A short wait, which jitter may give, isn't stored: of so long a one, hardly ever.
    policy = RetryPolicy(attempts=2, wait=timedelta(days=30), cap=timedelta(days=30), jitter=1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
    wait = next_wait(policy, 1, StepError("away", retryable=True), f"{execution_id}\nlate")
    assert wait is not None
    assert waiting.ready_at == harness.clock.now() + wait
