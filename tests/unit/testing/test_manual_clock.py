"""Time that a test sets by hand."""

import asyncio

from hookline.testing.clock import ManualClock


async def test_sleepers_wake_when_their_time_has_come() -> None:
    clock = ManualClock()
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2):
            group.create_task(sleep(seconds))
        await clock.until_sleeping(3)
        began = clock.now()
        clock.advance(0.5)
        await asyncio.sleep(0)
        assert woken == []
        clock.advance(1.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == [1, 2]
        assert clock.sleepers == 1
        clock.advance(1)
    assert woken == [1, 2, 3]
    assert (clock.now() - began).total_seconds() == clock.monotonic() == 3


async def test_a_sleeper_that_is_cancelled_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert clock.sleepers == 0
    clock.advance(2)


async def test_no_time_passes_in_a_sleep_of_none() -> None:
    await ManualClock().sleep(0)
