"""Operations on an engine that is connected to its store, and runs no flows."""

import asyncio

from tests.integration.engine_harness import Harness, act, fails

from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter, State


async def test_a_connected_engine_retries_and_replays_and_runs_nothing(harness: Harness) -> None:
    """What it has queued runs when the next engine starts."""
    harness.flow("f", [act("a")])
    harness.probe.does["a"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        failed = await harness.send(engine, "f", 1)
        await harness.until(engine, failed, State.FAILED)
    calls = len(harness.probe.calls)
    engine = harness.engine()
    await engine.connect()
    try:
        assert [one.serves for one in await engine.version_history.list("f")] == [True]
        replays = {await engine.operations.replay(failed, by=SYSTEM), await engine.operations.replay(failed, by=SYSTEM)}
        await engine.operations.retry(failed, by=SYSTEM)
        result = await engine.operations.bulk("cancel", ExecutionFilter(replay_of=failed), limit=1, by=SYSTEM)
        ((cancelled, _),) = result.done
        (again,) = replays - {cancelled}
        await asyncio.sleep(0.05)
    finally:
        await engine.stop()
    assert len(harness.probe.calls) == calls
    async with harness.engine() as engine:
        assert (await harness.until(engine, again)).state is State.SUCCEEDED
        assert (await harness.until(engine, failed)).state is State.SUCCEEDED
        assert (await harness.until(engine, cancelled)).state is State.CANCELLED


async def test_a_connected_engine_retries_on_the_version_of_the_file(harness: Harness) -> None:
    """It publishes that version, so that the execution finds it later."""
    harness.flow("f", [act("a")])
    harness.probe.does["a"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        failed = await harness.send(engine, "f", 1)
        old = (await harness.until(engine, failed, State.FAILED)).flow_version
    harness.flow("f", [act("a"), act("b")])
    engine = harness.engine()
    await engine.connect()
    try:
        await engine.operations.retry(failed, by=SYSTEM)
        execution = await engine.store.execution(failed)
        assert execution is not None
        assert execution.flow_version not in (None, old)
        assert await engine.store.flow_document("f", execution.flow_version) is not None
    finally:
        await engine.stop()
    async with harness.engine() as engine:
        assert (await harness.until(engine, failed)).state is State.SUCCEEDED
        assert harness.probe.steps()[-2:] == ["a", "b"]
