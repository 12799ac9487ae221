"""The progress of a foreach whose items are checkpointed together, and streams of items."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NoReturn

import msgspec

from hookline.kernel.errors import ExpressionFailed


class Progress(msgspec.Struct, frozen=True):
    """The stored progress of a foreach."""

    path: str
    """The path of the block."""
    total: int
    """The number of items."""
    done: tuple[tuple[int, int], ...]
    """Ranges of finished items, in order: the first, and the one after the last. Between two ranges is at least one
    unfinished item."""
    failed: int
    """The number of failed items, if the block goes on after a failure."""
    at: datetime
    """The commit time of the last finished item: `execution.now` of the next steps."""

    @property
    def finished(self) -> int:
        """The number of finished items."""
        return sum(end - start for start, end in self.done)


class Done:
    """The set of finished items, as ranges; its size depends only on the gaps."""

    def __init__(self, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        self._starts = [start for start, _ in ranges]
        self._ends = [end for _, end in ranges]

    def add(self, index: int) -> None:
        """Add an item that was not finished."""
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

    def ranges_until(self, index: int) -> int:
        """The number of ranges that begin at an item or before it; the same for two items of one range."""
        return bisect_right(self._starts, index)

    def left(self, total: int) -> Iterator[range]:
        """Yield the unfinished items, in order."""
        start = 0
        for begin, end in self.ranges():
            if begin > start:
                yield range(start, begin)
            start = end
        if start < total:
            yield range(start, total)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ranges, in order: the first item, and the one after the last."""
        return tuple(zip(self._starts, self._ends, strict=True))


STREAM: Final = "stream"
"""The signal of an entry whose output's body stands for a stream. No message can contain one."""

_READABLE: Final = frozenset({"count", "stream"})


class Stream(dict[str, Any]):
    """A stream: stands for items that are stored as lines of JSON in a blob: `{"stream": <the blob's id>, "count": n}`.

    Expressions may read its `count`, and a foreach takes it as a list. Any other use is an error, so that it isn't
    taken for an object with two keys.
    """

    __slots__ = ()

    def __init__(self, blob_id: str, count: int) -> None:
        super().__init__(stream=blob_id, count=count)

    @property
    def blob_id(self) -> str:
        """The id of the blob that holds the items."""
        found: str = super().__getitem__("stream")
        return found

    @property
    def count(self) -> int:
        """The number of items."""
        found: int = super().__getitem__("count")
        return found

    @property
    def shown(self) -> dict[str, Any]:
        """Return the plain object."""
        return {"stream": self.blob_id, "count": self.count}

    def __getitem__(self, key: str) -> Any:
        if key in _READABLE:
            return super().__getitem__(key)
        raise self._rejected()

    def get(self, key: str, default: Any = None, /) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        if key in _READABLE:
            return True
        raise self._rejected()

    def __iter__(self) -> Iterator[str]:
        raise self._rejected()

    def __len__(self) -> int:
        raise self._rejected()

    def __bool__(self) -> bool:
        raise self._rejected()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Stream) and self.blob_id == other.blob_id)

    __hash__ = None

    def keys(self) -> NoReturn:
        raise self._rejected()

    def values(self) -> NoReturn:
        raise self._rejected()

    def items(self) -> NoReturn:
        raise self._rejected()

    def copy(self) -> NoReturn:
        raise self._rejected()

    def __repr__(self) -> str:
        return f"<stream of {self.count:,} items>"

    def _rejected(self) -> ExpressionFailed:
        return ExpressionFailed(f"this is a stream of {self.count:,} items; {REMEDY}")


REMEDY: Final = (
    "only foreach goes through it, and `count` is all that expressions read of it: "
    'write {"foreach": …} with steps for one item'
)
"""The remedy for the use of a stream as a value."""


def stream_in(value: Any) -> Stream | None:
    """Find a stream anywhere in the value of an expression."""
    values = [value]
    while values:
        found = values.pop()
        if type(found) is Stream:
            return found
        if type(found) is dict:
            values.extend(found.values())
        elif type(found) is list:
            values.extend(found)
    return None
