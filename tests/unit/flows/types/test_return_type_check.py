"""What an action gives is held to the annotation of its result."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NotRequired
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from hookline.api import PASS, JsonValue, Reply, Signal
from hookline.flows.types.return_type_check import return_type_mismatch
from hookline.sdk.action import Increment


class Order(BaseModel):
    id: int
    secret: str = Field("", exclude=True)


@dataclass
class Row:
    name: str


class Line(TypedDict):
    sku: str
    quantity: int
    note: NotRequired[str]


async def items() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (Any, object()),
        (JsonValue, [1]),
        (dict[str, Any], {"a": 1}),
        (dict, {}),
        (list[int], [1, 2.5, Decimal(3)]),
        (list[dict[str, Any]], []),
        (list[str], ("a", datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1))),
        (set[str], {"a"}),
        (Order, Order(id=1)),
        (list[Order], [Order(id=1)]),
        (Row, Row("a")),
        (Line, {"sku": "a", "quantity": 1}),
        (Line, {"sku": "a", "quantity": 1, "note": "n"}),
        (dict[str, Any] | None, None),
        (type(None), None),
        (bool, True),
        (bytes, b"x"),
        (Signal, PASS),
        (Signal | Increment, Increment("k")),
        (Reply, Reply([1])),
        (dict[str, Any] | Reply, Reply("text")),
        (list[int] | AsyncIterator[int], [1]),
        (list[int] | AsyncIterator[int], items()),
    ],
)
def test_what_is_promised_may_be_given(annotation: Any, given: Any) -> None:
    assert return_type_mismatch(annotation, given) is None


@pytest.mark.parametrize(
    ("annotation", "given", "text"),
    [
        (dict[str, Any], [1], "its result is a list, not an object"),
        (dict[str, Any], None, "its result is null, not an object"),
        (list[str], {"a": 1}, "its result is an object, not a list"),
        (list[str], ["a", 1], "its result[1] is a number, not a text"),
        (str, 1, "its result is a number, not a text"),
        (int, True, "its result is true or false, not a number"),
        (bool, 1, "its result is a number, not true or false"),
        (type(None), {}, "its result is an object, not null"),
        (Line, {"sku": "a"}, "its result has no key 'quantity'"),
        (Line, {"sku": 1, "quantity": 1}, "its result.sku is a number, not a text"),
        (Line, {"sku": "a", "quantity": 1, "notes": ""}, "its result has the key 'notes', which its type doesn't have"),
        (list[Line], [{"sku": "a", "quantity": "1"}], "its result[0].quantity is a text, not a number"),
        (dict[str, Any], PASS, "it returned a Signal, which its annotation doesn't name"),
        (dict[str, Any], Reply({}), "it returned a Reply, which its annotation doesn't name"),
        (dict[str, Any], b"x", "its result is bytes, not an object"),
        (int | str, [], "its result is a list, not a number or a text"),
        (AsyncIterator[int], [1], "its result is a list, not a stream"),
    ],
)
def test_what_is_not_promised_is_named_with_its_place(annotation: Any, given: Any, text: str) -> None:
    assert return_type_mismatch(annotation, given) == text
