"""The engine lacks what it needs in the middle of a step: that is no failure of the step."""

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act

from hookline.api import StepError
from hookline.cli.actor import local_user
from hookline.kernel.errors import StoreError
from hookline.model.execution import Outcome, State

ONCE = {"delivery": "at_most_once"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def too_many(number: int = errno.EMFILE) -> OSError:
    return OSError(number, os.strerror(number))


def caused_by(error: Exception) -> StepError:
    made = StepError("example.com can't be reached", code="http.connection")
    made.__cause__ = error
    return made


def raising(make: Callable[[], Exception], times: int) -> Callable[[Any], Awaitable[Any]]:
    left = times

    async def run(value: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise make()
        return value

    return run


@pytest.mark.promise(1)
@pytest.mark.rule(42)
@pytest.mark.parametrize(
    "make",
    [
        too_many,
        lambda: too_many(errno.ENFILE),
        lambda: too_many(errno.ENOBUFS),
        lambda: caused_by(too_many()),
        lambda: ExceptionGroup("both", [ValueError(), caused_by(too_many())]),
        lambda: StoreError("the disk is full"),
    ],
    ids=["files", "system", "buffers", "cause", "group", "store"],
)
async def test_a_step_is_tried_again_until_the_engine_can_do_its_part(
    harness: Harness, make: Callable[[], Exception]
) -> None:
    harness.flow("f", [act("one", retry={"attempts": 1}), act("two")])
    harness.probe.does["one"] = raising(make, 7)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        execution = await harness.advance_until(engine, execution_id)
        record = (await harness.journal(engine, execution_id))["one"]
    assert (execution.state, record.attempt, record.error) == (State.SUCCEEDED, 1, None)
    assert harness.probe.steps() == ["one"] * 8 + ["two"]


@pytest.mark.parametrize("pure", [False, True])
async def test_a_step_that_waits_for_the_engine_can_be_cancelled(harness: Harness, pure: bool) -> None:
    @harness.probe.connector.action(pure=pure)
    async def lacking() -> None:
        """A step for which the engine lacks something."""
        harness.probe.calls.append(("lacking", 1, "", None))
        raise too_many()

    harness.flow("f", [{"id": "one", "use": "probe.lacking"}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until_calls(1)
        await engine.operations.cancel(execution_id, by=local_user())
        execution = await harness.advance_until(engine, execution_id)
    assert execution.state is State.CANCELLED


@pytest.mark.rule(42)
async def test_other_errors_of_the_system_are_the_steps_own(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    harness.probe.does["one"] = raising(lambda: too_many(errno.ENOSPC), 1)
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.state is State.FAILED


@pytest.mark.rule(23)
@pytest.mark.rule(42)
@pytest.mark.parametrize("known", [True, False])
async def test_a_step_that_runs_at_most_once_is_tried_again_only_if_it_had_no_effect(
    harness: Harness, known: bool
) -> None:
    harness.flow("f", [act("pay", **ONCE)])
    harness.probe.does["pay"] = raising(lambda: caused_by(too_many()) if known else too_many(), 1)
    async with harness.engine() as engine:
        execution = await harness.advance_until(engine, await harness.send(engine, "f", 1))
    assert execution.outcome is (Outcome.COMPLETED if known else Outcome.OUTCOME_UNKNOWN)
    assert len(harness.probe.calls) == (2 if known else 1)
