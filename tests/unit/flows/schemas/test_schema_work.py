"""The work of a schema: what would take long is rejected before it starts, and ordinary bodies are not."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from tests.growth.families import tree

from hookline.flows.schemas.body_schema import compile_schema
from hookline.flows.schemas.schema_references import References
from hookline.flows.schemas.schema_work import SchemaWork

TOO_MANY = ["schema.too_many_values"]
PRICE = {"type": "number", "minimum": 0, "multipleOf": 0.01}
ORDER = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["new", "paid", "sent"]},
        "lines": {
            "items": {"properties": {"sku": {"pattern": "^[A-Z]+-[0-9]+$"}, "price": PRICE, "n": {"minimum": 1}}}
        },
    },
    "additionalProperties": False,
}
LINE = {"sku": "AB-1", "price": 12.34, "n": 2}


RECORD = {"tags": ["a", "b"], "n": 1}
PARAGRAPHS = [{"type": "text", "text": "some words"}, {"type": "mention", "text": "someone"}] * 5
DOCUMENT = {
    "type": "doc",
    "content": [{"type": "list", "content": [{"type": "item", "content": PARAGRAPHS}] * 10}] * 250,
}
KINDS = ("doc", "list", "item", "text", "mention")
ANY_NODES = {"items": {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]}}
RICH_TEXT = {
    "$ref": "#/$defs/doc",
    "$defs": {
        kind: {"required": ["type"], "properties": {"type": {"const": kind}, "text": {}, "content": ANY_NODES}}
        for kind in KINDS
    },
}
EVENTS = [
    {
        "properties": {"type": {"const": f"t{number}"}, **{key: {"pattern": "^x"} for key in "abcdefghij"}},
        "required": ["type", *"abcdefghij"],
    }
    for number in range(30)
]
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def codes(schema: dict[str, Any], body: Any) -> list[str]:
    compiled, wrong = compile_schema(schema)
    assert compiled is not None, wrong
    return [problem.code for problem in compiled.problems(body)]


def alike(count: int) -> list[int]:
    """Integers of which binary64 doesn't tell a thousand apart; jsonschema-rs looks for equal items by such hashes."""
    return [2**62 + number for number in range(count)]


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"uniqueItems": True}, alike(10_000)),
        ({"uniqueItems": True}, [{"id": one} for one in alike(10_000)]),
        ({"uniqueItems": True}, [tree(number) for number in range(5000)]),
        ({"uniqueItems": True}, [{"a": tree(number)} for number in range(5000)]),
        ({"items": {"enum": [*map(str, range(300)), True]}}, ["x"] * 50_000),
        ({"items": {"anyOf": [False] * 1000}}, [1] * 100_000),
        ({"$schema": DRAFT_7, "items": {"contentMediaType": "application/json"}}, ["[" + "1," * 1_000_000 + "1]"]),
        ({"items": {"dependentRequired": {f"k{number}": ["a"] for number in range(1000)}}}, [{}] * 20_000),
        (
            {
                "$schema": DRAFT_7,
                "definitions": {"n": {"multipleOf": 0.01}},
                "items": {"allOf": [{"$ref": "#/definitions/n"}] * 30},
                "properties": {"r": {"$ref": "#"}},
            },
            [0.5] * 1000,
        ),
        ({"uniqueItems": True}, [10**400 + one for one in range(1000)]),
        ({"uniqueItems": True}, [Decimal(f"1.{one:040}") for one in range(1000)]),
        ({"properties": {"ids": {"uniqueItems": True}}}, {"ids": alike(10_000)}),
        ({"items": {"multipleOf": 0.01}}, [12.34] * 20_000),
        ({"items": {"multipleOf": 0.01}}, [1e300] * 5000),
        ({"items": {"enum": [0.5, 1.5, 2.5]}}, [2.25] * 10_000),
        ({"items": {"anyOf": [{"const": number + 0.5} for number in range(20)]}}, [1] * 2000),
        ({"items": {"minimum": 0.5}}, [1] * 50_000),
        ({"items": {"maximum": 5}}, [10**4000] * 300),
        ({"contains": {"const": 0.5}}, [1] * 50_000),
        ({"items": {"enum": [{"a": number} for number in range(100)]}}, [{"a": 5}] * 5000),
        ({"items": {"allOf": [{"pattern": f"^[a-{end}]"} for end in "bcdefgh"]}}, ["a" * 4_000_000]),
        ({"items": {"format": "idn-hostname"}}, ["é" * 4_000_000]),
        ({"patternProperties": {f"{end}$": {} for end in "abcdefgh"}}, {"a" * 4_000_000: 1}),
        ({"items": {"pattern": "[A-Z].{40}[0-9][x-z]"}}, ["A1b" * 100_000]),
        (
            {"items": {"patternProperties": {f"[{first}x-z]$": True for first in "abcdefghijklmn"}}},
            [dict.fromkeys(map(str, range(62)), 1)] * 7800,
        ),
        ({"patternProperties": {"[A-Z].{40}[0-9][x-z]": {}}}, {"A1b" * 100_000: 1}),
        (
            {"$ref": "#/$defs/tree", "$defs": {"tree": {"multipleOf": 0.01, "items": {"$ref": "#/$defs/tree"}}}},
            [0.5] * 20_000,
        ),
    ],
)
def test_a_body_that_would_take_long_is_rejected_before_it_is_judged(schema: dict[str, Any], body: Any) -> None:
    assert codes(schema, body) == TOO_MANY


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"items": ORDER}, [{"id": "0a6c6b2e-3f0e-4a7b-9d38-6f0b6c1f2a11", "lines": [LINE] * 4}] * 1000),
        ({"uniqueItems": True}, list(range(200_000))),
        ({"uniqueItems": True}, [2**62 + 4096 * number for number in range(20_000)]),
        ({"uniqueItems": True}, [{"id": number, "customer": 2**62 + 1} for number in range(20_000)]),
        ({"uniqueItems": True}, alike(500)),
        ({"uniqueItems": True}, [[x, y] for x in range(200) for y in range(100)]),
        ({"uniqueItems": True}, [[bool(number >> bit & 1) for bit in range(12)] for number in range(4096)]),
        ({"items": {"properties": {"tags": {"uniqueItems": True}}}}, [RECORD | {"id": one} for one in alike(10_000)]),
        (RICH_TEXT, DOCUMENT),
        (
            {
                "examples": [{"id": "x", "$ref": "#/nowhere"}],
                "items": {"properties": {"p": {"multipleOf": 0.01}, "q": {"enum": [0.5, 1.5, 2.5]}}},
            },
            [{"p": 12.34}] * 9000,
        ),
        (
            {"$ref": "https://json-schema.org/draft/2020-12/schema"},
            {"properties": {f"k{number}": {"type": "string"} for number in range(20_000)}},
        ),
        ({"properties": {"sku": {"pattern": "[A-Z].{40}[0-9]"}}}, {"sku": f"A{'b' * 40}0", "file": "x" * 9_000_000}),
        ({"properties": {"price": {"enum": [0.25, 1.25]}}}, {"price": 0.25, "lines": [0.26] * 100_000}),
        ({"properties": {"ids": {"uniqueItems": True}}}, {"ids": [1, 2], "parts": alike(10_000)}),
        ({"items": {"oneOf": EVENTS}}, [{"type": "t7", **dict.fromkeys("abcdefghij", "x")}] * 1200),
        ({"items": {"type": "integer", "minimum": 0, "maximum": 1000}}, list(range(500)) * 400),
        ({"items": {"enum": [1, 2, 3]}}, [1, 2, 3] * 100_000),
        ({"items": {"enum": ["a", "b"]}}, ["a", "b"] * 200_000),
        ({"items": {"format": "date-time"}}, ["2026-01-02T03:04:05Z"] * 50_000),
        ({"items": {"pattern": "^x*$"}}, ["x" * 9_900_000]),
        ({"items": {"pattern": "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"}}, ["DE89370400440532013000"] * 100_000),
        ({"type": "array"}, [1] * 999_000),
    ],
)
def test_an_ordinary_body_is_judged_however_large_it_is(schema: dict[str, Any], body: Any) -> None:
    assert codes(schema, body) == []


def test_small_bodies_for_a_schema_with_many_places_are_judged_one_after_another() -> None:
    kinds = {
        f"r{kind}": {
            "required": ["type"],
            "properties": {
                "type": {"const": f"r{kind}"},
                **{f"p{part}": {"items": {"$ref": f"#/$defs/r{(7 * kind + part) % 300}"}} for part in range(20)},
            },
        }
        for kind in range(300)
    }
    schema = {"oneOf": [{"$ref": f"#/$defs/r{kind}"} for kind in range(150)], "$defs": kinds}
    compiled, _ = compile_schema(schema)
    assert compiled is not None
    assert compiled.has_many_places
    assert compiled.is_slow({}), "it is judged in a thread"
    for number in range(20):
        body: Any = {}
        for level in range(6):
            body = {f"p{(number * 3 + level * 7) % 20}": [body]}
        assert [problem.code for problem in compiled.problems(body)] == ["schema.oneOf"]
    assert compiled.problems({"type": "r1", "p3": [{"type": "r10", "p4": []}]}) == []


def test_bodies_are_judged_in_several_threads_at_once() -> None:
    compiled, _ = compile_schema(RICH_TEXT)
    assert compiled is not None
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(compiled.problems, [DOCUMENT] * 8)) == [[]] * 8


@pytest.mark.rule(16)
def test_each_use_of_a_definition_counts_also_beside_what_is_no_schema() -> None:
    each = [{"properties": {"a": {"$ref": "#/$defs/p"}, "type": {"const": f"t{number}"}}} for number in range(20)]
    definitions = {"p": {"items": {"type": "number", "multipleOf": 0.01}}}
    body = {"a": [12.34] * 8500 + [0.001], "type": "t3"}
    assert codes({"examples": [{"id": "e1"}], "anyOf": each, "$defs": definitions}, body) == TOO_MANY
    anchored = {"p": {"$anchor": "here", **definitions["p"]}}
    each = [{"properties": {"a": {"$ref": "#here"}, "type": {"const": f"t{number}"}}} for number in range(20)]
    assert codes({"anyOf": each, "$defs": anchored}, body) == TOO_MANY
    named = {"$id": "https://x.example/a.json", "properties": {"a": {"$ref": "a.json#/$defs/p"}}, "$defs": definitions}
    assert codes(named, {"a": [12.34] * 8500}) == []


def test_schemas_for_the_same_value_add_up_and_those_of_its_parts_do_not() -> None:
    def number(schema: dict[str, Any]) -> float:
        return SchemaWork(schema, References(schema)).most.number

    one = {"multipleOf": 0.5}
    single = number(one)
    assert single > 0
    for parts in (
        {"properties": {"a": one, "b": one}},
        {"items": one, "additionalProperties": one},
        {"prefixItems": [one, one], "items": one},
        {"$defs": {"one": one}, "properties": {"a": {"$ref": "#/$defs/one"}, "b": {"$ref": "#/$defs/one"}}},
    ):
        assert number(parts) == single
    for same in (
        {"allOf": [one, one]},
        {"anyOf": [one, {"oneOf": [one]}]},
        {"if": one, "then": one},
        {"not": one, **one},
        {"dependentSchemas": {"a": one, "b": one}},
        {"items": one, "contains": one},
        {"patternProperties": {"a": one, "b": one}},
        {"$defs": {"a b": one}, "$ref": "#/$defs/a%20b", **one},
    ):
        assert number(same) == 2 * single


def test_a_long_chain_of_references_is_no_defect() -> None:
    chain = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(2000)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**chain, "d2000": {"type": "integer"}}}
    assert codes(schema, 1) == []
    assert codes(schema, "a") == ["schema.type"]
