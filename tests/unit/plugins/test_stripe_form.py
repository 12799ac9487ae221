"""Forms as Stripe reads them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stripe_server import nested_form

from hookline_stripe.form import form


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"a": 1, "b": True, "c": "x y"}, {"a": "1", "b": "true", "c": "x y"}),
        ({"metadata": {"k": "v", "gone": None}}, {"metadata[k]": "v", "metadata[gone]": ""}),
        ({"items": [{"price": "p", "quantity": 2}]}, {"items[0][price]": "p", "items[0][quantity]": "2"}),
        ({"expand": ["a", "b.c"]}, {"expand[0]": "a", "expand[1]": "b.c"}),
        ({"metadata": {}, "items": []}, {"metadata": "", "items": ""}),
        ({"percent": Decimal("0.50"), "big": Decimal("1E+3")}, {"percent": "0.50", "big": "1000"}),
    ],
)
def test_what_is_nested_is_written_with_brackets(fields: Any, expected: dict[str, str]) -> None:
    assert form(fields) == expected


keys = st.text("abc_", min_size=1, max_size=3)
texts = st.text("xy é&=[]", max_size=4)
values = texts | st.lists(texts, min_size=1, max_size=3) | st.dictionaries(keys, texts, min_size=1, max_size=3)
nested = values | st.lists(values, min_size=1, max_size=3) | st.dictionaries(keys, values, min_size=1, max_size=3)


@given(st.dictionaries(keys, nested, max_size=3))
def test_nothing_is_lost_on_the_way(fields: dict[str, Any]) -> None:
    assert nested_form(list(form(fields).items())) == fields
