"""Which entries of a journal belong to items that are under way, so that they can go when these are done."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from hookline.model.execution import StepRecord
from hookline.model.items import Done, Progress


class Item:
    """An item under way of a foreach whose items are not kept one by one."""

    __slots__ = ("blocks", "group", "inner", "paths", "seqs")

    def __init__(self) -> None:
        self.group = 0
        """The last group of what is committed together that has an entry of it."""
        self.seqs: list[int] = []
        self.paths: list[str] = []
        self.inner: set[str] = set()
        """Prefixes of such items inside it."""
        self.blocks: list[str] = []
        """Paths of such blocks inside it."""


class ItemEntries:
    """Finds the item that an entry belongs to: the innermost one around its path."""

    def __init__(self, past: Iterable[StepRecord]) -> None:
        self._open: dict[str, Item] = {}
        self._loaded: dict[str, list[StepRecord]] = {}
        for record in past:
            end = record.path.find("]/")
            while end > 0:
                self._loaded.setdefault(record.path[: end + 2], []).append(record)
                end = record.path.find("]/", end + 2)

    def open(self, prefix: str) -> None:
        """An item begins, or goes on: `prefix` is that of its steps' paths, as in `lines[3]/`."""
        item = self._open.get(prefix)
        if item is not None:
            return
        item = self._open[prefix] = Item()
        for record in self._loaded.pop(prefix, ()):
            item.seqs.append(record.seq)
            item.paths.append(record.path)
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.add(prefix)

    def note(self, record: StepRecord, group: int) -> None:
        """An entry is added, in a group of what is committed together."""
        if self._open and (item := self.around(record.path)) is not None:
            item.group = group
            item.seqs.append(record.seq)
            item.paths.append(record.path)

    def close(self, prefix: str) -> list[Item]:
        """An item is done: it, and those inside it that were not closed."""
        item = self._open.pop(prefix)
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.discard(prefix)
        closed = [item]
        for inner in item.inner:
            closed += self._inside(inner)
        return closed

    def _inside(self, prefix: str) -> list[Item]:
        item = self._open.pop(prefix)
        return [item, *(each for inner in item.inner for each in self._inside(inner))]

    def around(self, path: str) -> Item | None:
        """The innermost item that a path is in."""
        end = path.rfind("]/")
        while end > 0:
            item = self._open.get(path[: end + 2])
            if item is not None:
                return item
            end = path.rfind("]/", 0, end)
        return None


#: Results that may wait for the next commit, where nothing else asks for one.
_RESULTS: Final = 500


class BlockProgress:
    """Of one foreach whose items are not kept one by one."""

    def __init__(self, path: str, total: int, at: datetime, stored: Progress | None) -> None:
        """`stored`: how far it had got when the execution was resumed."""
        self.path = path
        self.total = total
        self.done = Done(() if stored is None else stored.done)
        self.failed = 0 if stored is None else stored.failed
        self.latest = at if stored is None else max(at, stored.at)
        """When the last of its items had committed what it did."""
        self.stored = stored is not None
        """Whether the store may know of it."""
        self._results: list[tuple[int, bytes]] = []

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """An item is done; `result` is JSON of what it gave, where that is collected."""
        self.done.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))

    @property
    def full(self) -> bool:
        """Whether its results should soon be committed, lest they fill the memory."""
        return len(self._results) >= _RESULTS

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """What is to be committed."""
        results, self._results = tuple(self._results), []
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), results

    def give_back(self, results: tuple[tuple[int, bytes], ...]) -> None:
        """What was taken wasn't committed."""
        self._results[:0] = results
