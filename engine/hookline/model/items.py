"""How far a foreach has got whose items are not kept one by one."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """How far a foreach has got, as it is stored."""

    path: str
    """Of the block."""
    total: int
    """How many items there are."""
    done: tuple[tuple[int, int], ...]
    """The items that are done: from, and up to, in order. There is a gap for each item that isn't, and no more."""
    failed: int
    """How many of them failed, where the block goes on then."""
    at: datetime
    """When the last of them had committed what it did: `execution.now` of what follows."""

    @property
    def finished(self) -> int:
        """How many items are done."""
        return sum(end - start for start, end in self.done)


class Done:
    """Which items are done. It takes room for those only that are not, among those that are."""

    def __init__(self, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        self._starts = [start for start, _ in ranges]
        self._ends = [end for _, end in ranges]

    def add(self, index: int) -> None:
        """An item is done, which was not."""
        starts, ends = self._starts, self._ends
        place = bisect_right(starts, index)
        follows = place > 0 and ends[place - 1] == index
        precedes = place < len(starts) and starts[place] == index + 1
        if follows and precedes:
            ends[place - 1] = ends.pop(place)
            del starts[place]
        elif follows:
            ends[place - 1] = index + 1
        elif precedes:
            starts[place] = index
        else:
            starts.insert(place, index)
            ends.insert(place, index + 1)

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._starts, index)
        return place > 0 and index < self._ends[place - 1]

    def left(self, total: int) -> Iterator[range]:
        """The items that are not done now, in order."""
        start = 0
        for begin, end in self.ranges():
            if begin > start:
                yield range(start, begin)
            start = end
        if start < total:
            yield range(start, total)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """From, and up to, in order."""
        return tuple(zip(self._starts, self._ends, strict=True))
