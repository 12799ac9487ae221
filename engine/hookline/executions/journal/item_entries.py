"""The entries of the items of a foreach with many items."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.executions.journal.uncommitted import Uncommitted
from hookline.model.execution import StepRecord
from hookline.model.foreach_progress_and_streams import Progress
from hookline.storage.change_declarations import CheckpointItems, FinishBlock

#: The number of failed items of which the entry of the failed step is kept.
FAILED_KEPT: Final = 100


class OpenItem:
    """A running item of a foreach that doesn't keep the entries of its items."""

    __slots__ = ("blocks", "group", "inner", "paths", "seqs")

    def __init__(self) -> None:
        self.group = 0
        """The last commit group that contains an entry of the item."""
        self.seqs: list[int] = []
        self.paths: list[str] = []
        self.inner: set[str] = set()
        """The prefixes of such items inside it."""
        self.blocks: list[str] = []
        """The paths of such blocks inside it."""


class ItemEntries:
    """The entries of the running items, in each foreach that doesn't keep the entries of its items.

    The progress of the block replaces the entries of a finished item, here and in the store. The prefix of an item
    begins the paths of its steps, as in `lines[3]/`.
    """

    def __init__(
        self,
        execution_id: str,
        entries: Iterable[StepRecord],
        last_entries: dict[str, StepRecord],
        uncommitted: Uncommitted,
    ) -> None:
        """`entries`: those that are stored. `last_entries`: the journal's, by path; those of finished items are
        removed from it."""
        self.blocks: dict[str, ForeachProgress] = {}
        """The progress of the running blocks, by path."""
        self._execution_id = execution_id
        self._last_entries = last_entries
        self._uncommitted = uncommitted
        self._open: dict[str, OpenItem] = {}
        self._loaded: dict[str, list[StepRecord]] = {}
        for record in entries:
            end = record.path.find("]/")
            while end > 0:
                self._loaded.setdefault(record.path[: end + 2], []).append(record)
                end = record.path.find("]/", end + 2)

    def indexes(self, path: str) -> set[int]:
        """The indexes of the items of a foreach that have entries."""
        start = f"{path}["
        return {int(one[len(start) :].partition("]")[0]) for one in self._last_entries if one.startswith(start)}

    def around(self, path: str) -> OpenItem | None:
        """The innermost open item around a path."""
        end = path.rfind("]/")
        while end > 0:
            item = self._open.get(path[: end + 2])
            if item is not None:
                return item
            end = path.rfind("]/", 0, end)
        return None

    def note(self, record: StepRecord) -> None:
        """Note that a new entry belongs to the item around it."""
        if self._open and (item := self.around(record.path)) is not None:
            item.group = self._uncommitted.group
            item.seqs.append(record.seq)
            item.paths.append(record.path)

    def begin_foreach(self, path: str, total: int, at: datetime, stored: Progress | None) -> ForeachProgress:
        """Begin or continue a block; see `Journal.begin_foreach`.

        A block that waits in a branch is entered again in the same delivery if another branch fails: its progress goes
        on then.
        """
        running = self.blocks.get(path)
        if running is not None:
            return running
        block = self.blocks[path] = ForeachProgress(path, total, at, stored)
        around = self.around(path)
        if around is not None:
            around.blocks.append(path)
        return block

    def end_foreach(self, path: str) -> None:
        """Finish a block: drop its progress and its results together with the next commit."""
        block = self.blocks.pop(path, None)
        self._uncommitted.progress.pop(path, None)
        if block is not None and block.stored:
            self._uncommitted.add_changes(FinishBlock(self._execution_id, path))

    def begin_item(self, prefix: str) -> None:
        """Begin or continue an item."""
        if prefix in self._open:
            return
        item = self._open[prefix] = OpenItem()
        for record in self._loaded.pop(prefix, ()):
            item.seqs.append(record.seq)
            item.paths.append(record.path)
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.add(prefix)

    def end_item(
        self, block: ForeachProgress, prefix: str, index: int, at: datetime, *, result: bytes | None, failed: str | None
    ) -> None:
        """Finish an item and drop its entries, except that of the failed step for the first failures.

        `result`: JSON of its result, if results are collected. `failed`: the path of the failed step.
        """
        kept = self._last_entries.get(failed) if failed is not None and block.failed < FAILED_KEPT else None
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.discard(prefix)
        for item in self._remove(prefix):
            self._drop(item, kept)
        if kept is not None:
            # It is dropped together with the item around it.
            self.note(kept)
        block.finish(index, at, result=result, failed=failed is not None)
        self._uncommitted.progress[block.path] = block
        self._uncommitted.unrecomputable_pending = self._uncommitted.unrecomputable_pending or block.full

    def give_back(self, progress: Iterable[CheckpointItems]) -> None:
        """Return the progress of running blocks that was not committed."""
        for checkpoint in progress:
            block = self.blocks.get(checkpoint.progress.path)
            if block is not None:
                block.give_back(checkpoint.results)
                self._uncommitted.progress[block.path] = block

    def _remove(self, prefix: str) -> list[OpenItem]:
        """Remove an item and the unfinished items inside it from the open items, and return them."""
        item = self._open.pop(prefix)
        return [item, *(each for inner in item.inner for each in self._remove(inner))]

    def _drop(self, item: OpenItem, kept: StepRecord | None) -> None:
        """Drop the entries of an item except one, and the progress of the blocks in it."""
        uncommitted = self._uncommitted
        for path in item.paths:
            self._last_entries.pop(path, None)
        for seq in item.seqs:
            if kept is not None and seq == kept.seq:
                continue
            if uncommitted.entries.pop(seq, None) is None:
                uncommitted.dropped.append(seq)
        for path in item.blocks:
            self.end_foreach(path)
