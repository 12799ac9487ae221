"""The entries of items go with the innermost item around their path."""

from hookline.executions.journal import OpenItems
from hookline.model.execution import StepRecord
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

ENVELOPES = Envelopes(ManualClock())


def entry(seq: int, path: str) -> StepRecord:
    return ENVELOPES.record(seq, path)


def test_an_entry_is_the_innermost_items() -> None:
    entries = OpenItems(())
    entries.open("a[1]/")
    entries.open("a[1]/b[2]/")
    entries.note(entry(1, "a[1]/first"), 1)
    entries.note(entry(2, "a[1]/b[2]/try/inner"), 1)
    entries.note(entry(3, "a[10]/first"), 1)
    entries.note(entry(4, "a[1]/b[20]/x"), 2)
    (inner,) = entries.close("a[1]/b[2]/")
    assert inner.seqs == [2]
    (outer,) = entries.close("a[1]/")
    assert (outer.seqs, outer.group) == ([1, 4], 2)
    assert entries.around("a[1]/x") is None


def test_items_inside_go_with_the_one_around_them() -> None:
    entries = OpenItems(())
    for prefix in ("a[0]/", "a[0]/b[0]/", "a[0]/b[0]/c[5]/"):
        entries.open(prefix)
        entries.note(entry(len(prefix), f"{prefix}x"), 1)
    assert sorted(seq for item in entries.close("a[0]/") for seq in item.seqs) == [5, 10, 15]


def test_what_was_noted_before_a_restart_goes_too() -> None:
    past = (entry(1, "before"), entry(2, "a[3]/x"), entry(3, "a[3]/x"), entry(4, "a[3]/short[0]/y"), entry(5, "a[4]/x"))
    entries = OpenItems(past)
    entries.open("a[3]/")
    (item,) = entries.close("a[3]/")
    assert (item.seqs, item.paths) == ([2, 3, 4], ["a[3]/x", "a[3]/x", "a[3]/short[0]/y"])
    assert item.group == 0, "it is durable"
