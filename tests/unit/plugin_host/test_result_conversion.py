"""A result becomes JSON values once, so that a resumed execution sees what it saw before."""

import dataclasses
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hookline.kernel.json import JsonValue, decode, encode, is_large
from hookline.plugin_host.result_conversion import NotJson, to_json


class _Order(BaseModel):
    number: str = Field(alias="no")
    total: Decimal


@dataclasses.dataclass
class _Point:
    x: int


class _Colour(Enum):
    RED = "red"


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00.000000Z"),
        (date(2026, 1, 31), "2026-01-31"),
        (Decimal("2.51"), 2.51),
        (Decimal("12345678901234567890123"), 12345678901234567890123),
        ((1, 2), [1, 2]),
        ({"a": ({"b": Decimal(3)},)}, {"a": [{"b": 3}]}),
        (_Order(no="PO-1", total=Decimal(7)), {"no": "PO-1", "total": 7}),
        (_Point(3), {"x": 3}),
        (_Colour.RED, "red"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (True, True),
    ],
)
def test_values_with_a_json_form_take_it(value: Any, expected: Any) -> None:
    found = to_json(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), {1: "a"}, object(), [b"x"], {"a": {b"k"}}]
)
def test_a_value_without_a_json_form_is_a_defect_and_its_place_is_named(value: Any) -> None:
    with pytest.raises(NotJson, match="result"):
        to_json(value)


def test_a_value_that_holds_itself_is_rejected() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotJson, match="nested deeper"):
        to_json(endless)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@pytest.mark.rule(19)
@given(_JSON)
def test_json_stays_as_it_is_and_reads_back_from_the_journal_as_it_was(value: Any) -> None:
    assert to_json(value) == value
    assert decode(encode(to_json(value))) == value


@given(_JSON)
def test_a_result_is_a_copy_that_its_connector_cannot_change_unless_it_was_given_it(value: Any) -> None:
    found = to_json({"a": value})
    if isinstance(value, dict | list):
        assert found["a"] is not value
    assert to_json(value, shared=True) is value


def test_a_large_value_that_is_json_is_taken_as_a_setting_without_being_gone_through_by_pydantic() -> None:
    """pydantic asks each value inside for its type: 12 s for a body of 2 MB."""
    taken: TypeAdapter[Any] = TypeAdapter(JsonValue)
    value = {"a": [[1, 1.5, None, True, "x"], {"b": Decimal("1.10")}]}
    assert taken.validate_python(value) is value
    for nearly in ({"a": [object()]}, {"a": {1: 2}}, {"a": [Decimal("NaN")]}, {"a": [b"x"]}):
        with pytest.raises(ValidationError):
            taken.validate_python(nearly)


@given(_JSON)
def test_a_value_has_many_values_where_there_are_more_in_its_lists_and_objects_than_the_limit(value: Any) -> None:
    def count(value: Any) -> int:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return len(inside) + sum(map(count, inside))

    assert is_large(value, count(value)) is False
    assert is_large(value, count(value) - 1) is isinstance(value, dict | list)
