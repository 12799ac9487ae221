"""Slots: one flow's flood leaves the others some."""

import asyncio

from hookline.executions.delivery.dispatcher import FairSlots


async def taken(slots: FairSlots, flow_id: str, wanted: int) -> int:
    """How many of so many slots a flow gets at once."""
    got = 0
    for _ in range(wanted):
        task = asyncio.ensure_future(slots.acquire(flow_id))
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            break
        got += 1
    return got


async def test_a_flow_alone_gets_half_and_the_next_a_half_of_the_rest() -> None:
    slots = FairSlots(16)
    assert await taken(slots, "flood", 100) == 8
    assert await taken(slots, "other", 100) == 4
    assert await taken(slots, "third", 100) == 2


async def test_what_ends_goes_to_who_runs_least() -> None:
    slots = FairSlots(4)
    assert await taken(slots, "flood", 100) == 2
    assert await taken(slots, "second", 100) == 1
    assert await taken(slots, "third", 1) == 1
    order: list[str] = []

    async def wait(flow_id: str) -> None:
        await slots.acquire(flow_id)
        order.append(flow_id)

    async with asyncio.TaskGroup() as group:
        for flow_id in ("flood", "second", "new"):
            group.create_task(wait(flow_id))
        await asyncio.sleep(0)
        slots.release("flood")
        await asyncio.sleep(0)
        assert order == ["new"]
        slots.release("second")
        slots.release("third")
        await asyncio.sleep(0)
        slots.release("new")
        slots.release("flood")
    assert sorted(order) == ["flood", "new", "second"]


async def test_no_slot_is_lost_by_who_gives_up_waiting() -> None:
    slots = FairSlots(2)
    assert await taken(slots, "a", 5) == 1
    for _ in range(20):
        waiting = asyncio.ensure_future(slots.acquire("a"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    # Given in the moment in which it is cancelled.
    waiting = asyncio.ensure_future(slots.acquire("a"))
    await asyncio.sleep(0)
    slots.release("a")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await taken(slots, "a", 5) == 1
    assert await taken(slots, "b", 5) == 1
