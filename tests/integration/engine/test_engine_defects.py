"""A defect of the engine, or its stop, while the store fails: what was done is kept, counted and told."""

import asyncio
import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act
from tests.integration.store_trouble import Trouble, holds

from hookline.executions.delivery import runner
from hookline.executions.delivery.runner import Runner
from hookline.executions.delivery.unrunnable import Unrunnable
from hookline.executions.ending import end
from hookline.executions.steps.step import StepRun
from hookline.kernel.errors import StoreError
from hookline.model.execution import State
from hookline.storage.change_declarations import RecordSteps
from hookline.testing.eventually import assert_eventually


@pytest.fixture
def _defective(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has a defect that the step `defect` shows."""
    finish = StepRun._finish

    async def defective(step_run: StepRun, *rest: Any) -> Any:
        if step_run.step.id == "defect":
            raise RuntimeError("a defect")
        return await finish(step_run, *rest)

    monkeypatch.setattr(StepRun, "_finish", defective)


DEFECT = {"id": "defect", "use": "map", "with": {"body": 1}}


@pytest.mark.usefixtures("_defective")
async def test_a_defect_while_the_store_fails_ends_its_execution_and_repeats_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one"), DEFECT])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        for count in (2, 3):
            harness.clock.advance(60)
            await trouble.until_rejected(count)
        trouble.rejects = holds()
        execution = await harness.advance_until(engine, execution_id)
        assert execution.error is not None
        assert (execution.state, execution.error.code) == (State.FAILED, "engine.defect")
        assert list(await harness.journal(engine, execution_id)) == ["one"]
    assert harness.probe.steps() == ["one"]


@pytest.mark.parametrize(
    "error", [StoreError("away"), OSError(errno.EMFILE, "too many open files")], ids=["store", "os"]
)
async def test_a_failure_while_an_execution_is_being_ended_repeats_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failures = [error]

    async def failing_end(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await end(*arguments)

    monkeypatch.setattr(runner, "end", failing_end)
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


@pytest.mark.usefixtures("_defective")
async def test_a_start_that_is_committed_after_a_defect_is_counted_and_told(harness: Harness) -> None:
    """A pure step waits for no commit, so the start of the execution isn't durable before the defect."""

    @harness.probe.connector.action(pure=True)
    async def rows() -> AsyncIterator[int]:
        """Two rows, which are recorded."""
        yield 1
        yield 2

    steps = [{"id": "rows", "use": "probe.rows"}, DEFECT]
    harness.flow("f", steps, state="paused")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
    harness.flow("f", steps)
    engine = harness.engine()
    with engine.events.listen("f") as listener:
        async with engine:
            await harness.until(engine, execution_id, State.FAILED)
            assert engine.intake.backlog("f") == 0
            heard: list[str] = []

            def ended() -> bool:
                heard.extend(event.kind for event in listener.take())
                return "execution.ended" in heard

            # An end is told after it is durable.
            await assert_eventually(ended)
    assert heard == ["execution.started", "step.finished", "execution.ended"]


@pytest.mark.usefixtures("_defective")
async def test_a_second_defect_at_the_end_of_an_execution_loses_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, failures = Unrunnable.end, 2

    async def failing(unrunnable: Unrunnable, *given: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("another defect")
        await end(unrunnable, *given)

    monkeypatch.setattr(Unrunnable, "end", failing)
    harness.flow("f", [act("one"), DEFECT])
    async with harness.engine() as engine:
        execution = await harness.advance_until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert (execution.error.code, harness.probe.steps()) == ("engine.defect", ["one"])


async def test_a_run_that_is_cut_off_while_the_store_fails_is_cancelled(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure of the last commit must not take the place of the cancellation."""
    run, ended = Runner.run, []

    async def observed(runner: Runner, *given: Any) -> None:
        try:
            await run(runner, *given)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("returned")

    monkeypatch.setattr(Runner, "run", observed)
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        await harness.send(engine, "f", 1)
        await trouble.until_rejected()
    assert ended == ["cancelled"]
    assert trouble.rejected == 2, "it was tried once more"
