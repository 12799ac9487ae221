"""Duplicates, rates, backlogs, and how many run at once."""

import asyncio
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act

from hookline.executions.delivery.dispatcher import TOTAL
from hookline.kernel.errors import TooManyRequests
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.storage.change_declarations import Accepted, Duplicate


@pytest.mark.rule(4)
async def test_a_duplicate_starts_nothing_and_is_known_over_the_rate_too(harness: Harness) -> None:
    """Duplicates come before the rate, and spend none of it."""
    harness.flow("f", [act("one")], rate="2/h")
    async with harness.engine() as engine:
        first = await harness.put(engine, "f", 1, "k")
        assert isinstance(first, Accepted)
        for _ in range(5):
            assert await harness.put(engine, "f", 1, "k") == Duplicate(first.execution_id)
        assert isinstance(await harness.put(engine, "f", 2, "k2"), Accepted)
        with pytest.raises(TooManyRequests) as rejected:
            await harness.put(engine, "f", 3, "k3")
        assert rejected.value.retry_after is not None
        assert 0 < rejected.value.retry_after <= 1800
        assert await harness.put(engine, "f", 1, "k") == Duplicate(first.execution_id)
        harness.clock.advance(1800)
        assert isinstance(await harness.put(engine, "f", 3, "k3"), Accepted)


async def test_a_backlog_over_its_limit_is_rejected_and_counted_over_a_restart(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(max_backlog=2) as engine:
        await harness.send(engine, "f", 1)
        await harness.send(engine, "f", 2)
        with pytest.raises(TooManyRequests):
            await harness.send(engine, "f", 3)
    async with harness.engine(max_backlog=2) as engine:
        with pytest.raises(TooManyRequests):
            await harness.send(engine, "f", 3)


async def test_executions_that_are_cancelled_while_queued_do_not_make_the_queue_look_faster(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(max_backlog=20) as engine:
        ids = [await harness.send(engine, "f", number) for number in range(20)]
        with pytest.raises(TooManyRequests) as before:
            await harness.send(engine, "f", None)
        for id_ in ids[:10]:
            harness.clock.advance(1)
            await engine.operations.cancel(id_, by=SYSTEM)
        for number in range(10):
            await harness.send(engine, "f", number)
        with pytest.raises(TooManyRequests) as after:
            await harness.send(engine, "f", None)
    assert after.value.retry_after == before.value.retry_after


async def test_a_flow_has_a_backlog_limit_of_its_own_and_the_server_one_for_all(harness: Harness) -> None:
    harness.flow("small", [act("one")], state="paused", max_queued=1)
    harness.flow("large", [act("one")], state="paused")
    async with harness.engine(max_backlog_total=3) as engine:
        await harness.send(engine, "small", 1)
        with pytest.raises(TooManyRequests, match="'small' has 1 message queued"):
            await harness.send(engine, "small", 2)
        for number in range(2):
            await harness.send(engine, "large", number)
        for _ in range(2):
            with pytest.raises(TooManyRequests, match="the server has 3 messages"):
                await harness.send(engine, "large", 3)


async def test_who_is_rejected_for_a_backlog_is_told_how_long_it_takes_to_drain(harness: Harness) -> None:
    harness.flow("f", [act("one")], concurrency=1, max_queued=100)
    one_more = asyncio.Semaphore(0)

    async def work(value: Any) -> Any:
        await one_more.acquire()
        return value

    harness.probe.does["one"] = work
    async with harness.engine() as engine:

        async def rejected() -> float | None:
            while True:
                try:
                    await harness.send(engine, "f", 1)
                except TooManyRequests as error:
                    return error.retry_after

        assert await rejected() == 30
        # Two each second leave the queue; a tenth of the hundred is to be free.
        for _ in range(60):
            calls = len(harness.probe.calls)
            one_more.release()
            await harness.until_calls(calls + 1)
            harness.clock.advance(0.5)
            await harness.send(engine, "f", 1)
        wait = await rejected()
        assert wait is not None
        assert 4 < wait < 6
        harness.clock.advance(3600)
        assert await rejected() == 600


async def test_no_more_executions_of_a_flow_run_at_once_than_it_says(harness: Harness) -> None:
    harness.flow("f", [act("one")], concurrency=2)
    running = peak = 0
    full = asyncio.Event()

    async def count(value: Any) -> Any:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == 2:
            full.set()
        await full.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return value

    harness.probe.does["one"] = count
    async with harness.engine() as engine:
        sent = [await harness.send(engine, "f", n) for n in range(20)]
        for execution_id in sent:
            await harness.until(engine, execution_id)
    assert peak == 2


async def test_a_flow_whose_executions_all_hang_leaves_the_others_room_to_run(harness: Harness) -> None:
    harness.flow("flood", [act("hang")], concurrency=10_000)
    harness.flow("other", [act("quick")])

    harness.probe.does["hang"] = Hang()
    async with harness.engine(grace=0) as engine:
        await asyncio.gather(*(harness.send(engine, "flood", number) for number in range(TOTAL // 2 + 100)))
        await harness.until_calls(TOTAL // 2)
        for number in range(3):
            execution_id = await harness.send(engine, "other", number)
            assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        assert harness.probe.steps().count("hang") == TOTAL // 2
