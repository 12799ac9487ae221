"""What is new among what a service lists: nothing is given twice, and nothing that changes is passed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.api import PollItem, PollResult, changed_items, items_above

listings = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)), min_size=1, max_size=8)


def listed(state: dict[str, int]) -> list[PollItem]:
    return [PollItem(name, value) for name, value in state.items()]


def looked(states: list[dict[str, int]], *, baseline: bool = False, **options: Any) -> list[list[tuple[str, int]]]:
    """What each look gave, until it said that there is no more."""
    given, cursor = [], None
    ids: set[str] = set()
    for state in states:
        found: list[tuple[str, int]] = []
        while True:
            polled = changed_items(listed(state), cursor, baseline=baseline and cursor is None, **options)
            cursor = polled.cursor
            assert not ids & {item.id for item in polled.items}, "an id that comes again would be a duplicate"
            ids |= {item.id for item in polled.items}
            found += [(item.id.partition("@")[0], item.body) for item in polled.items]
            if not polled.more:
                break
        given.append(found)
    return given


@given(listings, st.integers(1, 5))
def test_each_item_that_is_new_or_different_comes_once(states: list[dict[str, int]], limit: int) -> None:
    before: dict[str, int] = {}
    for state, found in zip(states, looked(states, limit=limit), strict=True):
        assert sorted(found) == sorted((name, value) for name, value in state.items() if before.get(name) != value)
        before = state


def test_one_that_changes_back_comes_again() -> None:
    assert looked([{"a": 1}, {"a": 2}, {"a": 1}]) == [[("a", 1)], [("a", 2)], [("a", 1)]]


@pytest.mark.rule(45)
def test_what_is_there_when_a_poll_begins_is_seen_at_once_however_much_it_is() -> None:
    assert looked([{"a": 1}, {"a": 1, "b": 1}, {"a": 2}], baseline=True, limit=1) == [[], [("b", 1)], [("a", 2)]]


def test_a_look_that_finds_nothing_leaves_the_cursor_as_it_was() -> None:
    first = changed_items(listed({"a": 1}), None)
    assert changed_items(listed({"a": 1}), first.cursor) == PollResult((), first.cursor)


@given(
    st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=6),
    st.integers(1, 4),
)
def test_every_row_comes_once_as_long_as_marks_grow(batches: list[list[int]], limit: int) -> None:
    """Rows of one mark may come in several batches."""
    table: list[tuple[int, str]] = []
    cursor: Any = None
    found: list[str] = []
    mark = 0
    for number, batch in enumerate(batches):
        for step in sorted(batch):
            # Never below what was seen, and often just that.
            mark = max(mark, mark + (step == 4))
            table.append((mark, f"{number}.{len(table)}"))
        while True:
            from_here = [row for row in table if cursor is None or row[0] >= cursor["mark"]]
            polled = items_above(
                from_here, cursor, lambda row: row[0], lambda row: PollItem(row[1], row[0]), limit=limit
            )
            assert len(polled.items) <= limit
            found += [item.id for item in polled.items]
            cursor = polled.cursor
            if not polled.more:
                break
    assert found == [name for _, name in table]
