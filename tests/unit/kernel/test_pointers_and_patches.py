"""JSON pointers: encoding, decoding and lookup."""

from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.pointers_and_patches import escape, parts_of, pointer_to, value_at


@given(st.lists(st.text()))
def test_a_pointer_gives_back_the_keys_it_was_made_of(keys: list[str]) -> None:
    assert parts_of(pointer_to(keys)) == keys


def test_slashes_and_tildes_are_escaped_in_the_right_order() -> None:
    assert escape("a/b~1") == "a~1b~01"


def test_a_pointer_leads_through_objects_and_lists() -> None:
    assert value_at({"a/b": [{"c": 1}, {"c": 2}]}, "/a~1b/1/c") == 2
    assert value_at([1], "") == [1]
