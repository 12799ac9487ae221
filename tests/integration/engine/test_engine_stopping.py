"""An engine that stops loses nothing and waits for nobody too long."""

import asyncio
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each
from tests.integration.store_trouble import Trouble, holds

from hookline.kernel.errors import ServiceUnavailable, StoreAway
from hookline.model.execution import State
from hookline.storage.change_declarations import End, RecordSteps


@pytest.mark.promise(8)
async def test_a_stop_drains_what_runs_and_takes_nothing_more(harness: Harness) -> None:
    harness.flow("f", [act("slow"), act("next")])
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(value: Any) -> Any:
        reached.set()
        await go.wait()
        return value

    harness.probe.does["slow"] = slow
    engine = harness.engine(grace=10)
    await engine.start()
    execution_id = await harness.send(engine, "f", 1)
    await reached.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    assert not engine.ready
    with pytest.raises(ServiceUnavailable):
        engine.intake.flow("f")
    go.set()
    await stopping
    async with harness.engine() as engine:
        execution = await engine.store.execution(execution_id)
        assert execution is not None
        assert execution.state is State.SUCCEEDED
    assert harness.probe.steps() == ["slow", "next"]


async def test_an_action_that_ignores_being_cut_off_doesnt_keep_the_engine_from_stopping(harness: Harness) -> None:
    harness.flow("f", [act("one"), act("two")])
    reached = asyncio.Event()

    async def stubborn(value: Any) -> Any:
        reached.set()
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        return value

    harness.probe.does["one"] = stubborn
    engine = harness.engine(grace=0)
    await engine.start()
    await harness.send(engine, "f", 1)
    await reached.wait()
    async with asyncio.timeout(30):
        await engine.stop()


async def test_a_stop_that_is_cut_short_keeps_what_was_done(harness: Harness) -> None:
    """A second signal: at once, and no worse than the end of the grace period."""
    harness.flow("f", [each(act("one", "$.item"), act("two", "$.item"), concurrency=2)])
    both, hang = asyncio.Event(), asyncio.Event()

    async def wait(value: Any) -> Any:
        if len(harness.probe.steps()) == 4:
            both.set()
        await hang.wait()

    harness.probe.does["two"] = wait
    engine = harness.engine(grace=600)
    await engine.start()
    execution_id = await harness.send(engine, "f", [1, 2])
    await both.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    stopping.cancel()
    await asyncio.wait((stopping,), timeout=20)
    assert stopping.cancelled()
    del harness.probe.does["two"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert sorted(harness.probe.steps()) == ["one"] * 2 + ["two"] * 4


async def test_leaving_an_engine_by_cancellation_waits_for_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    hang = harness.probe.does["one"] = Hang()

    async def serve() -> None:
        async with harness.engine(grace=600) as engine:
            await harness.send(engine, "f", 1)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await hang.reached.wait()
    serving.cancel()
    await asyncio.wait((serving,), timeout=20)
    assert serving.cancelled()


async def test_what_was_done_while_the_store_failed_is_kept_by_a_stop_if_it_can_be(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(End))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        trouble.rejects = holds(End)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


async def test_a_stop_while_the_store_fails_ends(harness: Harness) -> None:
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "one", "two"]


async def test_what_runs_when_the_database_goes_away_during_the_start_runs_once_after_the_next(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one")])
    reached, go, going, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def one(value: Any) -> Any:
        nonlocal going, most
        going += 1
        most = max(most, going)
        reached.set()
        try:
            await go.wait()
        finally:
            going -= 1
        return value

    harness.probe.does["one"] = one
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await reached.wait()
    reached.clear()
    engine = harness.engine(grace=0)

    async def away() -> None:
        await reached.wait()
        raise StoreAway("the database has gone away")

    with monkeypatch.context() as patched:
        patched.setattr(engine.intake.limits, "refresh", away)
        with pytest.raises(StoreAway):
            await engine.start()
    reached.clear()
    async with engine:
        await reached.wait()
        go.set()
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert most == 1
