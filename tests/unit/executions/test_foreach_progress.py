"""The results of many items, in runs that a store keeps as rows."""

from hypothesis import given
from hypothesis import strategies as st

from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.testing.clock import ManualClock

CLOCK = ManualClock()


@given(
    order=st.permutations(range(40)),
    without=st.sets(st.integers(0, 39)),
    commits=st.dictionaries(st.integers(0, 39), st.sampled_from(["done", "failed", "unknown"])),
)
def test_runs_give_each_result_once_and_in_order_whenever_they_are_committed(
    order: list[int], without: set[int], commits: dict[int, str]
) -> None:
    progress = ForeachProgress("a", 40, CLOCK.now(), None)
    rows: dict[int, bytes] = {}
    returned: tuple[tuple[int, bytes], ...] = ()
    for count, index in enumerate(order):
        progress.finish(index, CLOCK.now(), result=None if index in without else b"%d" % index, failed=False)
        # Items finish while a commit is made, whose end comes before the next one begins.
        progress.give_back(returned)
        returned = ()
        if (ends := commits.get(count)) is not None:
            _, runs = progress.take()
            if ends != "failed":
                # The store keeps what it has.
                rows = dict(runs) | rows
            if ends != "done":
                returned = runs
    progress.give_back(returned)
    rows = dict(progress.take()[1]) | rows
    results = [int(line) for _, lines in sorted(rows.items()) for line in lines.splitlines()]
    assert results == [index for index in range(40) if index not in without]


def test_items_in_order_make_one_run_for_each_commit() -> None:
    progress = ForeachProgress("a", 1000, CLOCK.now(), None)
    for index in range(499):
        progress.finish(index, CLOCK.now(), result=b"1", failed=False)
    assert not progress.full
    progress.finish(499, CLOCK.now(), result=b"1", failed=False)
    assert progress.full
    assert progress.take()[1] == ((0, b"\n".join([b"1"] * 500)),)
    assert not progress.full
    progress.finish(500, CLOCK.now(), result=b"1" * 1_000_000, failed=False)
    assert progress.full, "few results can be large"
    for index in range(501, 504):
        progress.finish(index, CLOCK.now(), result=b"1" * 1_000_000, failed=False)
    assert [first for first, _ in progress.take()[1]] == [500, 502], "a row of many large results would be too large"
