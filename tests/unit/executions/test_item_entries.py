"""The entries of items go with the innermost item around their path."""

from collections.abc import Sequence

import pytest

from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.executions.journal.item_entries import ItemEntries
from hookline.executions.journal.uncommitted import Uncommitted
from hookline.model.execution import StepRecord
from hookline.storage.change_declarations import DropEntries, FinishBlock
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

CLOCK = ManualClock()
ENVELOPES = Envelopes(CLOCK)


class Entries:
    """The entries of items, with the parts of the journal that they change."""

    def __init__(self, stored: Sequence[StepRecord] = ()) -> None:
        self.last_entries = {record.path: record for record in stored}
        self.uncommitted = Uncommitted("e", ())
        self.items = ItemEntries("e", stored, self.last_entries, self.uncommitted)

    def add(self, *records: StepRecord) -> None:
        for record in records:
            self.last_entries[record.path] = self.uncommitted.entries[record.seq] = record
            self.items.note(record)

    def begin_foreach(self, path: str) -> ForeachProgress:
        return self.items.begin_foreach(path, 100, CLOCK.now(), None)

    def end_item(self, block: ForeachProgress, index: int, failed: str | None = None) -> None:
        self.items.end_item(block, f"{block.path}[{index}]/", index, CLOCK.now(), result=None, failed=failed)


def entry(seq: int, path: str) -> StepRecord:
    return ENVELOPES.record(seq, path)


def test_an_entry_is_the_innermost_items() -> None:
    entries = Entries()
    outer, inner = entries.begin_foreach("a"), entries.begin_foreach("a[1]/b")
    entries.items.begin_item("a[1]/")
    entries.items.begin_item("a[1]/b[2]/")
    entries.add(entry(1, "a[1]/first"), entry(2, "a[1]/b[2]/try/inner"), entry(3, "a[10]/first"))
    first_group = entries.uncommitted.group
    entries.uncommitted.take()
    entries.add(entry(4, "a[1]/b[20]/x"))
    open_inner, open_outer = entries.items.around("a[1]/b[2]/x"), entries.items.around("a[1]/x")
    assert open_inner is not None
    assert open_outer is not None
    assert (open_inner.seqs, open_inner.group) == ([2], first_group)
    assert (open_outer.seqs, open_outer.group) == ([1, 4], first_group + 1)
    entries.end_item(inner, 2)
    assert entries.uncommitted.dropped == [2], "it had been committed"
    entries.end_item(outer, 1)
    assert entries.uncommitted.dropped == [2, 1]
    assert (list(entries.last_entries), list(entries.uncommitted.entries)) == (["a[10]/first"], [])
    assert entries.items.around("a[1]/x") is None


def test_items_inside_go_with_the_one_around_them() -> None:
    entries = Entries()
    block = entries.begin_foreach("a")
    for seq, prefix in enumerate(("a[0]/", "a[0]/b[0]/", "a[0]/b[0]/c[5]/")):
        entries.items.begin_item(prefix)
        entries.add(entry(seq, f"{prefix}x"))
    entries.end_item(block, 0)
    assert (entries.last_entries, entries.uncommitted.entries, entries.uncommitted.dropped) == ({}, {}, [])


def test_the_progress_of_a_block_goes_with_the_item_around_it() -> None:
    entries = Entries()
    outer = entries.begin_foreach("a")
    entries.items.begin_item("a[0]/")
    inner = entries.begin_foreach("a[0]/b")
    entries.items.begin_item("a[0]/b[7]/")
    entries.end_item(inner, 7)
    assert entries.uncommitted.take().progress
    entries.end_item(outer, 0)
    taken = entries.uncommitted.take()
    assert taken.other_changes == (FinishBlock("e", "a[0]/b"),)
    assert [checkpoint.progress.path for checkpoint in taken.progress] == ["a"]


@pytest.mark.parametrize("failed", [None, "a[3]/x"])
def test_what_was_noted_before_a_restart_goes_too(failed: str | None) -> None:
    stored = (
        *(entry(1, "before"), entry(2, "a[3]/y"), entry(3, "a[3]/x")),
        *(entry(4, "a[3]/short[0]/y"), entry(5, "a[4]/x")),
    )
    entries = Entries(stored)
    block = entries.begin_foreach("a")
    entries.items.begin_item("a[3]/")
    item = entries.items.around("a[3]/x")
    assert item is not None
    assert item.group == 0, "it is durable"
    entries.end_item(block, 3, failed)
    dropped = (2, 3, 4) if failed is None else (2, 4)
    assert entries.uncommitted.take().changes()[-1] == DropEntries("e", dropped)
    assert list(entries.last_entries) == ["before", "a[4]/x"]


def test_progress_that_was_not_committed_is_committed_later_unless_its_block_has_ended() -> None:
    entries = Entries()
    running, ended = entries.begin_foreach("a"), entries.begin_foreach("b")
    for block in (running, ended):
        entries.items.begin_item(f"{block.path}[0]/")
        entries.end_item(block, 0)
    taken = entries.uncommitted.take()
    entries.items.end_foreach("b")
    entries.uncommitted.give_back(taken)
    entries.items.give_back(taken.progress)
    again = entries.uncommitted.take()
    assert (again.progress, again.other_changes) == (taken.progress[:1], (FinishBlock("e", "b"),))
