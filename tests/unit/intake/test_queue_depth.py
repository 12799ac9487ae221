"""The queue depths of order keys: exact up to the room of the flow, and seldom counted."""

import asyncio
from typing import cast

from hookline.intake.limits import KNOWN, KNOWN_FOR, QueueDepth
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock


class Counted:
    """A store that counts how often it is asked."""

    def __init__(self) -> None:
        self.depths: dict[tuple[str, str], int] = {}
        self.asked: list[str] = []

    async def queue_depth(self, flow_id: str, order_key: str, limit: int) -> int:
        self.asked.append(order_key)
        length = self.depths.get((flow_id, order_key), 0)
        await asyncio.sleep(0)
        return min(length, limit)


def depths_of(store: Counted, clock: ManualClock) -> QueueDepth:
    return QueueDepth(cast("Store", store), clock)


async def test_an_order_key_is_counted_once_a_second_however_many_ask() -> None:
    store, clock = Counted(), ManualClock()
    depths = depths_of(store, clock)
    store.depths["f", "a"] = 5
    assert await asyncio.gather(*(depths.reaches("f", "a", length) for length in (5, 4, 5))) == [True] * 3
    assert store.asked == ["a"]
    store.depths["f", "a"] = 3
    assert await depths.reaches("f", "a", 5)
    clock.advance(KNOWN_FOR)
    assert not await depths.reaches("f", "a", 5)
    assert not await depths.reaches("g", "a", 1)
    assert store.asked == ["a", "a", "a"]


async def test_an_execution_is_counted_while_it_is_stored_and_no_more_if_that_fails() -> None:
    store, clock = Counted(), ManualClock()
    depths = depths_of(store, clock)
    depths.begin("f", "a")
    assert await depths.reaches("f", "a", 1)
    depths.begin("f", "a")
    assert await depths.reaches("f", "a", 2)
    depths.end("f", "a", stored=False)
    assert not await depths.reaches("f", "a", 2)
    depths.end("f", "a", stored=True)
    assert await depths.reaches("f", "a", 1)
    store.depths["f", "a"] = 1
    clock.advance(KNOWN_FOR)
    assert await depths.reaches("f", "a", 1)
    assert not await depths.reaches("f", "a", 2)


async def test_the_number_of_cached_order_keys_is_bounded() -> None:
    store = Counted()
    depths = depths_of(store, ManualClock())
    for key in range(KNOWN + 1):
        await depths.reaches("f", str(key), 1)
    for key in (1, KNOWN, 0):
        await depths.reaches("f", str(key), 1)
    assert store.asked[KNOWN + 1 :] == ["0"]


async def test_executions_that_are_stored_behind_a_count_are_counted() -> None:
    store, clock = Counted(), ManualClock()
    depths = depths_of(store, clock)
    depths.begin("f", "a")
    counting = asyncio.create_task(depths.reaches("f", "a", 2))
    await asyncio.sleep(0)
    depths.begin("f", "a")
    depths.begin("f", "b")
    for key in ("a", "a", "b"):
        depths.end("f", key, stored=True)
    assert await counting
    assert not await depths.reaches("f", "a", 3)
