"""Excerpts of large JSON values are small, say what they leave out, and what follows can be asked for."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.pointers_and_patches import value_at
from hookline.service.views.excerpts import MAX_INSIDE, MAX_TEXT, MAX_VALUES, Cut, excerpt

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=60,
)


def count(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(count, value), len(value))
    return sum(map(count, value.values()), len(value)) if isinstance(value, dict) else 0


@given(JSON)
def test_a_small_value_is_whole(value: Any) -> None:
    assert excerpt(value).value == value
    assert excerpt(value).cuts == []


def test_a_long_text_is_cut_and_its_rest_can_be_asked_for() -> None:
    text = "".join(map(str, range(5000)))
    shown = excerpt({"note": text})
    assert shown.value == {"note": text[:MAX_TEXT]}
    (cut,) = shown.cuts
    assert cut == Cut("/note", len(text), 0, MAX_TEXT)
    assert excerpt(text, "/note", MAX_TEXT).value == text[MAX_TEXT : 2 * MAX_TEXT]


@given(JSON, st.integers(1, 40))
def test_the_parts_of_a_value_together_are_the_value(value: Any, texts: int) -> None:
    shown = excerpt(value, texts=texts)
    for cut in shown.cuts:
        whole, part = value_at(value, cut.pointer), value_at(shown.value, cut.pointer)
        assert (len(whole), len(part)) == (cut.size, cut.shown)
        if isinstance(whole, dict):
            rest = excerpt(whole, cut.pointer, cut.shown).value
            assert [*part, *rest] == list(whole)
        else:
            assert part + excerpt(whole, cut.pointer, cut.shown).value == whole


def test_a_huge_value_costs_no_more_than_is_shown() -> None:
    value = {"rows": [[{"cells": list(range(1000))}] * 100] * 500}
    shown = excerpt(value)
    assert count(shown.value) <= MAX_VALUES
    assert len(shown.value["rows"]) == MAX_INSIDE
    assert shown.cuts[0] == Cut("/rows", 500, 0, MAX_INSIDE)


def test_a_key_that_is_longer_than_everything_else_may_be_does_not_stop_what_follows() -> None:
    value = {"k" * 100: 1, "l" * 100: 2, "m": 3}
    shown = excerpt(value, texts=10)
    assert list(shown.value) == ["k" * 100]
    assert list(excerpt(value, "", 1, texts=10).value) == ["l" * 100]
