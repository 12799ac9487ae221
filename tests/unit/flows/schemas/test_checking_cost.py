"""The cost of a check: it is known for ordinary schemas, and whatever may take long isn't checked in the event loop."""

from decimal import Decimal
from typing import Any

import pytest
from tests.growth.things import schemas

from hookline.flows.schemas.body_schema import BodySchema, compile_schema
from hookline.flows.schemas.checking_cost import cost_of

ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/order",
    "title": "Order",
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["new", "paid", "sent"]},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        "address": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]},
    },
    "additionalProperties": False,
    "$defs": {
        "line": {
            "properties": {
                "sku": {"pattern": "^[A-Z]+-[0-9]{1,8}$"},
                "price": {"type": "number", "minimum": 0, "multipleOf": 0.01},
                "n": {"type": "integer", "minimum": 1},
            }
        },
        "address": {"required": ["city"], "properties": {"city": {"type": "string", "maxLength": 100}}},
    },
}
LINE = {"sku": "AB-1", "price": 12.34, "n": 2}
ID = "0190a6c5-7f4e-7a3b-8a56-1f0d6d2c3b4a"


def compiled(schema: dict[str, Any]) -> BodySchema:
    made, wrong = compile_schema(schema)
    assert made is not None, wrong
    return made


@pytest.mark.rule(16)
def test_a_usual_message_is_checked_at_once() -> None:
    order = compiled(ORDER)
    assert order.surely_accepts({"id": ID, "status": "paid", "lines": [LINE] * 20, "address": {"city": "Graz"}})
    assert order.surely_accepts(*[{"id": ID, "lines": [LINE], "address": None}] * 20)


@pytest.mark.rule(16)
def test_only_a_valid_message_is_surely_accepted() -> None:
    order = compiled(ORDER)
    assert not order.surely_accepts({"id": ID, "lines": []})
    assert not order.surely_accepts({"id": ID, "lines": [LINE]}, {"id": ID, "lines": [{**LINE, "n": 0}]})


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "body",
    [
        [LINE] * 2000,
        [{"sku": "A" * 200_000 + "-1"}],
        [{"n": 10**4000}],
        [{"price": Decimal("1.1")}] * 300,
        [{"price": Decimal("1E+100")}],
        [{"n": 1e300, "price": 1e300}] * 30,
    ],
    ids=["many values", "a long text", "a long integer", "exact fractions", "an exponent", "large fractions"],
)
def test_a_large_message_is_left_to_another_process(body: Any) -> None:
    lines = compiled({"items": ORDER["$defs"]["line"]})  # type: ignore[index]
    assert lines.accepts(body)
    assert not lines.surely_accepts(body)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a|aa)+(?!b)$"},
        {"pattern": r"^(a)\1$"},
        {"pattern": r"^\p{L}+$"},
        {"pattern": r"\bword\b"},
        {"minimum": 10**200},
        {"allOf": [{"properties": {f"k{number}-{name}": {} for name in range(20)}} for number in range(900)]},
        {"$ref": "#/$defs/a%2Fb", "$defs": {"a/b": {}, "a": {"b": {"uniqueItems": True}}}},
        {"$ref": "#/$defs/a/$defs/b", "$defs": {"a": {"$id": "https://a.example/", "$defs": {"b": {}}}}},
        {"pattern": "[A-Z].{9000}[0-9]"},
        {"uniqueItems": True},
        {"enum": [[1]]},
        {"format": "idn-email"},
        {"propertyNames": {"maxLength": 1}},
        {"a keyword of the future": 1},
        {"allOf": [{"required": ["a"]}, {"$ref": "#"}]},
        {"$ref": "#named", "$defs": {"a": {"$anchor": "named"}}},
        {"properties": {"a": {"$id": "https://a.example/", "$ref": "#/$defs/b", "$defs": {"b": {}}}}},
        {"anyOf": [{"const": number} for number in range(2000)]},
    ],
)
def test_a_schema_whose_cost_is_not_known_is_left_to_another_process(schema: dict[str, Any]) -> None:
    assert cost_of(schema) is None


@pytest.mark.rule(16)
def test_comparing_with_a_long_text_counts_its_characters() -> None:
    schema = compiled({"items": {"anyOf": [*[{"const": "x" * 100_000}] * 200, {}]}})
    assert schema.accepts(["a"] * 100)
    assert not schema.surely_accepts(["a"] * 100)


@pytest.mark.rule(16)
def test_a_schema_that_leads_back_to_itself_is_known_if_it_checks_each_value_once() -> None:
    once = {"type": "object", "properties": {"c": {"$ref": "#"}, "list": {"items": {"$ref": "#"}}}}
    twice = {"anyOf": [{"properties": {"c": {"$ref": "#"}}}, {"properties": {"c": {"$ref": "#"}}}]}
    assert cost_of(once) is not None
    assert cost_of(twice) is None
    assert compiled(once).surely_accepts({"list": [{}] * 100})


@pytest.mark.rule(16)
def test_what_checks_a_value_together_counts_together() -> None:
    one = cost_of({"properties": {"a": {"multipleOf": 0.1}}})
    both = cost_of({"properties": {"a": {"multipleOf": 0.1}}, "allOf": [{"properties": {"a": {"multipleOf": 0.5}}}]})
    beside = cost_of({"properties": {"a": {"multipleOf": 0.1}, "b": {"multipleOf": 0.5}}})
    rest = cost_of({"additionalProperties": {"multipleOf": 0.5}, "allOf": [{"properties": {"a": {"multipleOf": 0.1}}}]})
    assert one is not None
    assert both is not None
    assert beside is not None
    assert rest is not None
    assert both.comparisons == rest.comparisons == 2 * one.comparisons == 2 * beside.comparisons


@pytest.mark.rule(16)
@pytest.mark.parametrize(("name", "schema", "make"), schemas.SLOW, ids=[name for name, _, _ in schemas.SLOW])
def test_nothing_that_takes_seconds_is_checked_at_once(name: str, schema: dict[str, Any], make: Any) -> None:
    # A tenth of it already takes longer than the event loop may wait.
    assert not compiled(schema).surely_accepts(make(250_000))


def test_a_schema_of_very_many_places_has_no_known_cost() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    assert cost_of(schema) is not None
    for _ in range(300):
        schema = {"items": schema}
    assert cost_of(schema) is None
