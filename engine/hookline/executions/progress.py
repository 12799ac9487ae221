"""Which entries of a journal belong to items that are under way, so that they can go when these are done."""

from collections.abc import Iterable

from hookline.model.execution import StepRecord


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
