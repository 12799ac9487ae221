"""A client that hangs up while its request is carried out: what was committed takes effect all the same."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, fails

from hookline.deployments.deployment_request import DeploymentRequest
from hookline.engine import Engine
from hookline.kernel.json import encode
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import Change, CommitResult


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
async def engine(harness: Harness) -> AsyncIterator[Engine]:
    async with harness.engine() as engine:
        yield engine


async def hang_up(engine: Engine, operation: Coroutine[Any, Any, object]) -> None:
    """Cancel an operation when its commit has taken place, as the server does if the client is gone."""
    commit = engine.store.commit
    caller = asyncio.ensure_future(operation)

    async def committed(changes: Sequence[Change]) -> Sequence[CommitResult]:
        engine.store.commit = commit  # type: ignore[method-assign]  # only the first one
        results = await commit(changes)
        caller.cancel()
        await asyncio.sleep(0)
        return results

    engine.store.commit = committed  # type: ignore[method-assign]  # in its place, for everybody who has the store
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_queued_execution_that_is_cancelled_leaves_the_backlog(harness: Harness, engine: Engine) -> None:
    harness.flow("f", [act("one")], state="paused")
    await engine.version_switch.refresh()
    execution_id = await harness.send(engine, "f", 1)
    await hang_up(engine, engine.operations.cancel(execution_id, by=SYSTEM))
    assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
    assert engine.intake.backlog("f") == 0


async def test_a_running_execution_that_is_cancelled_ends(harness: Harness, engine: Engine) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    harness.flow("f", [act("one")])
    await engine.version_switch.refresh()
    execution_id = await harness.send(engine, "f", 1)
    await hang.reached.wait()
    await hang_up(engine, engine.operations.cancel(execution_id, by=SYSTEM))
    assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED


async def test_an_execution_that_is_retried_goes_on(harness: Harness, engine: Engine) -> None:
    harness.probe.does["one"] = fails(1, retryable=False)
    harness.flow("f", [act("one")])
    await engine.version_switch.refresh()
    execution_id = await harness.send(engine, "f", 1)
    await harness.until(engine, execution_id, State.FAILED)
    await hang_up(engine, engine.operations.retry(execution_id, by=SYSTEM))
    assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("step", [None, "two"])
async def test_a_replay_runs_and_is_counted(harness: Harness, engine: Engine, step: str | None) -> None:
    harness.flow("f", [act("one"), act("two")])
    await engine.version_switch.refresh()
    await harness.until(engine, await harness.send(engine, "f", 1))
    harness.probe.calls.clear()
    await hang_up(engine, engine.operations.replay(await _last(engine), by=SYSTEM, step=step))
    await harness.until(engine, await _last(engine), State.SUCCEEDED)
    assert harness.probe.steps()[-1] == "two"
    assert engine.intake.backlog("f") == 0


async def _last(engine: Engine) -> str:
    return (await engine.store.executions()).items[0].execution.id


async def test_an_execution_that_is_moved_goes_on(harness: Harness, engine: Engine) -> None:
    harness.probe.does["one"] = fails(1)
    harness.flow("f", [act("one", retry={"attempts": 2, "wait": "10m"})])
    await engine.version_switch.refresh()
    execution_id = await harness.send(engine, "f", 1)
    await harness.until(engine, execution_id, State.WAITING)
    harness.flow("f", [act("one", retry={"attempts": 2, "wait": "10m"}), act("two")])
    await engine.version_switch.refresh()
    before = len(harness.probe.calls)
    await hang_up(engine, engine.migration.migrate(execution_id, "current", by=SYSTEM))
    harness.clock.advance(601)
    await harness.until(engine, execution_id, State.SUCCEEDED)
    assert harness.probe.steps()[before:] == ["one", "two"]


async def test_a_flow_that_is_paused_starts_nothing(harness: Harness, engine: Engine) -> None:
    harness.flow("f", [act("one")])
    await engine.version_switch.refresh()
    await harness.until(engine, await harness.send(engine, "f", 1))
    await hang_up(engine, engine.version_switch.set_state("f", "paused", by=SYSTEM))
    second = await harness.send(engine, "f", 2)
    await asyncio.sleep(0.1)
    execution = await engine.store.execution(second)
    assert execution is not None
    assert execution.state is State.QUEUED


async def test_a_flow_that_is_deployed_serves(harness: Harness, engine: Engine) -> None:
    harness.flow("f", [act("one")])
    await engine.version_switch.refresh()
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    document = encode({"id": "f", "trigger": trigger, "steps": [act("two")]})
    checked = await engine.version_switch.check(DeploymentRequest(SYSTEM, {"f": document}))
    await hang_up(engine, engine.version_switch.deploy(checked))
    await harness.until(engine, await harness.send(engine, "f", 1))
    assert harness.probe.steps() == ["two"]
