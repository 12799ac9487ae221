"""The lengths of lines: right as far as a flow's room goes, and seldom asked for."""

import asyncio

from hookline.intake.queue_depth import KNOWN, KNOWN_FOR, LineLengths
from hookline.testing.clock import ManualClock


class Counted:
    """A store that counts how often it is asked."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], int] = {}
        self.asked: list[str] = []

    async def line_length(self, flow_id: str, order_key: str, limit: int) -> int:
        self.asked.append(order_key)
        length = self.lines.get((flow_id, order_key), 0)
        await asyncio.sleep(0)
        return min(length, limit)


async def test_a_line_is_counted_once_a_second_however_many_ask() -> None:
    store, clock = Counted(), ManualClock()
    lines = LineLengths(store, clock)
    store.lines["f", "a"] = 5
    assert await asyncio.gather(*(lines.reaches("f", "a", length) for length in (5, 4, 5))) == [True] * 3
    assert store.asked == ["a"]
    store.lines["f", "a"] = 3
    assert await lines.reaches("f", "a", 5)
    clock.advance(KNOWN_FOR)
    assert not await lines.reaches("f", "a", 5)
    assert not await lines.reaches("g", "a", 1)
    assert store.asked == ["a", "a", "a"]


async def test_what_joins_is_counted_from_the_start_and_no_more_once_it_failed() -> None:
    store, clock = Counted(), ManualClock()
    lines = LineLengths(store, clock)
    lines.join("f", "a")
    assert await lines.reaches("f", "a", 1)
    lines.join("f", "a")
    assert await lines.reaches("f", "a", 2)
    lines.joined("f", "a", stored=False)
    assert not await lines.reaches("f", "a", 2)
    lines.joined("f", "a", stored=True)
    assert await lines.reaches("f", "a", 1)
    store.lines["f", "a"] = 1
    clock.advance(KNOWN_FOR)
    assert await lines.reaches("f", "a", 1)
    assert not await lines.reaches("f", "a", 2)


async def test_no_more_lines_are_known_than_a_bounded_number() -> None:
    store = Counted()
    lines = LineLengths(store, ManualClock())
    for key in range(KNOWN + 1):
        await lines.reaches("f", str(key), 1)
    for key in (1, KNOWN, 0):
        await lines.reaches("f", str(key), 1)
    assert store.asked[KNOWN + 1 :] == ["0"]
