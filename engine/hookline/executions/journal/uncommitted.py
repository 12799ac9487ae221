"""The work of an execution that is not durable yet."""

from collections.abc import Iterable
from typing import NamedTuple

from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.model.execution import StepRecord
from hookline.storage.change_declarations import Change, CheckpointItems, DropEntries, RecordSteps


class TakenWork(NamedTuple):
    """The work that one commit has taken."""

    execution_id: str
    first_changes: tuple[Change, ...]
    entries: tuple[StepRecord, ...]
    other_changes: tuple[Change, ...]
    progress: tuple[CheckpointItems, ...]
    dropped: tuple[int, ...]

    def changes(self) -> tuple[Change, ...]:
        """The changes to commit."""
        records = (RecordSteps(self.execution_id, self.entries),) if self.entries else ()
        drops = (DropEntries(self.execution_id, self.dropped),) if self.dropped else ()
        return (*self.first_changes, *records, *self.other_changes, *self.progress, *drops)


class Uncommitted:
    """The work of an execution that no commit has taken."""

    __slots__ = (
        "_execution_id",
        "decision_pending",
        "dropped",
        "entries",
        "first_changes",
        "group",
        "other_changes",
        "progress",
        "unrecomputable_pending",
    )

    def __init__(self, execution_id: str, first_changes: Iterable[Change]) -> None:
        self._execution_id = execution_id
        self.first_changes: tuple[Change, ...] = tuple(first_changes)
        """The changes that make the execution running."""
        self.entries: dict[int, StepRecord] = {}
        """The new entries, in their stored form, by number."""
        self.other_changes: list[Change] = []
        self.progress: dict[str, ForeachProgress] = {}
        """The blocks with many items whose progress has changed, by path."""
        self.dropped: list[int] = []
        """The numbers of the stored entries to remove."""
        self.unrecomputable_pending = False
        """There is work that can't be computed again."""
        self.decision_pending = False
        """There are entries that decide which steps follow, such as the failure that ended a block first."""
        self.group = 1
        """The number of the commit that takes this work: the work of one group becomes durable together."""

    @property
    def any(self) -> bool:
        """True if there is any work."""
        return bool(self.first_changes or self.entries or self.other_changes or self.progress or self.dropped)

    def add_changes(self, *changes: Change) -> None:
        """Add changes that can't be computed again."""
        self.other_changes.extend(changes)
        self.unrecomputable_pending = True

    def take(self) -> TakenWork:
        """Take all work; new work belongs to the next group."""
        progress = tuple(CheckpointItems(self._execution_id, *block.take()) for block in self.progress.values())
        entries, others, dropped = tuple(self.entries.values()), tuple(self.other_changes), tuple(self.dropped)
        taken = TakenWork(self._execution_id, self.first_changes, entries, others, progress, dropped)
        self.group += 1
        self.first_changes, self.entries, self.other_changes = (), {}, []
        self.progress, self.dropped = {}, []
        self.unrecomputable_pending = self.decision_pending = False
        return taken

    def give_back(self, taken: TakenWork) -> None:
        """Return the work that was not committed; `ItemEntries.give_back` returns its progress."""
        self.first_changes = (*taken.first_changes, *self.first_changes)
        self.entries = {record.seq: record for record in taken.entries} | self.entries
        self.other_changes[:0] = taken.other_changes
        self.dropped[:0] = taken.dropped
        pending = bool(taken.entries or taken.other_changes or taken.progress)
        self.unrecomputable_pending = self.unrecomputable_pending or pending
        self.decision_pending = self.decision_pending or bool(taken.entries)
