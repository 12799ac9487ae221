"""The mapper `jsonpath`."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from hookline.api import ExpressionFailed, ExpressionLimit, ExpressionSyntax, MissingValue
from hookline_mapping.jsonpath.mapper import JsonPath
from hookline_mapping.jsonpath.plain_path import PlainPath, plain_keys

SCOPE: dict[str, Any] = {
    "body": {
        "id": 7,
        "text": "hello",
        "nothing": None,
        "größe": 1,
        "unit price": 2,
        "@id": 3,
        "#text": 4,
        "ns:name": 5,
        "e-mail": 6,
        "it's": 8,
        "0": 9,
        "where": 10,
        "日本": 11,
        "🎉": 12,
        "lines": [
            {"sku": "B", "n": 2, "tags": ["x"]},
            {"sku": "A", "n": 1, "tags": [], "null": None, "true": True},
        ],
        "numbers": [3, 1, 2],
    },
    "vars": {"least": 2},
}
MAPPER = JsonPath()


def evaluate(source: str, scope: dict[str, Any] = SCOPE) -> Any:
    return MAPPER.compile(source).evaluate(scope)


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$.body.größe", 1),
        ("$.body['unit price']", 2),
        ('$["body"]["unit price"]', 2),
        ("$.body.@id", 3),
        ("$.body.#text", 4),
        ("$.body.ns:name", 5),
        ("$.body.e-mail", 6),
        (r"$.body['it\'s']", 8),
        ('$.body["it\'s"]', 8),
        ("$.body.0", 9),
        ("$.body.where", 10),
        ("$.body.日本", 11),
        ("$.body.🎉", 12),
        ("$.body.lines[1].sku", "A"),
        ("$.body.lines[-1].sku", "A"),
        ("$.body.lines[ 0 ].tags[0]", "x"),
        ("$.body.nothing", None),
        ("$.body.lines[1].null", None),
        ("$.body.lines[1].true", True),
    ],
)
def test_plain_paths_have_keys_of_any_script_and_sign(source: str, expected: Any) -> None:
    expression = MAPPER.compile(source)
    assert isinstance(expression, PlainPath)
    assert expression.evaluate(SCOPE) == expected


def test_spaces_between_parts_and_a_relative_start_are_the_dialects() -> None:
    assert evaluate("$ . body . id") == 7
    assert evaluate("body.id") == 7


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("$.body.idd", "$.body.idd: there is no 'idd' in $.body; did you mean 'id'?"),
        ("$.body.ID", "$.body.ID: there is no 'ID' in $.body; did you mean 'id'?"),
        ("$.bdy.id", "$.bdy.id: there is no 'bdy' in $; did you mean 'body'?"),
        ("$.vars.zzz", "$.vars.zzz: there is no 'zzz' in $.vars; it has 'least'"),
        ("$.body.lines[2].sku", "$.body.lines[2].sku: $.body.lines has 2 items, none at [2]"),
        ("$.body.lines.sku", "$.body.lines.sku: $.body.lines is a list, not an object with 'sku'"),
        ("$.body.nothing.x", "$.body.nothing.x: $.body.nothing is null and has no 'x'"),
        ("$.body.text[0]", "$.body.text[0]: $.body.text is text and has no '0'"),
        ("$.body.text.x", "$.body.text.x: $.body.text is text and has no 'x'"),
        ("$.body.id.x", "$.body.id.x: $.body.id is not an object and has no 'x'"),
        ("$.body.lnes.`len`", "$.body.lnes.`len`: there is no 'lnes' in $.body; did you mean 'lines'?"),
        ("$.body.id.`len`", "$.body.id.`len`: nothing matches"),
    ],
)
def test_what_is_missing_is_named_in_full_with_the_nearest_key(source: str, message: str) -> None:
    with pytest.raises(MissingValue) as caught:
        evaluate(source)
    assert str(caught.value).startswith(message)


def test_an_error_over_a_huge_object_stays_short() -> None:
    with pytest.raises(MissingValue) as caught:
        evaluate("$.body.x", {"body": {f"{number}{'k' * 500}": 1 for number in range(10_000)}})
    assert len(str(caught.value)) < 600


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$.body.lines[*].sku", ["B", "A"]),
        ("$.body.lines[0:1].sku", ["B"]),
        ("$.body.lines[?(@.n > 1)].sku", ["B"]),
        ("$.body.lines[?(@.n > 9)].sku", []),
        ("$.body.lines[*].nope", []),
        ("$.body.nope[*]", []),
        ("$..sku", ["B", "A"]),
        ("$.body['id','text']", [7, "hello"]),
        ("$.vars.*", [2]),
        ("$.body.lines.`len`", 2),
        ("$.body.numbers.`sorted`", [1, 2, 3]),
        ("$.body.numbers.`sorted`[0]", 1),
    ],
)
def test_what_can_match_at_most_once_gives_the_value_and_anything_else_a_list(source: str, expected: Any) -> None:
    assert evaluate(source) == expected


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("$.body.id", [("body", "id")]),
        ("$.body.lines[0].sku", [("body", "lines", 0, "sku")]),
        ("$.steps.order.body.lines[*].sku", [("steps", "order", "body", "lines")]),
        ("$.body.lines[?(@.n > $.vars.least)].sku", [("body", "lines"), ("vars", "least")]),
        ("$.body.id + $.vars.least", [("body", "id"), ("vars", "least")]),
        ("body.id", [("body", "id")]),
        ("$..sku", []),
        ("$", []),
    ],
)
def test_references_are_known_before_it_runs(source: str, paths: list[Any]) -> None:
    assert [reference.path for reference in MAPPER.compile(source).references] == paths


QUERIES = (
    "$.body.*",
    "$.body.lines[*]",
    "$..n",
    "$..*",
    "$.body..sku",
    "$.body.lines[::2].n",
    "$.body.lines[-1:].n",
    "$.body.numbers[0,2]",
    "$.body.lines[?(@.n >= 1)]",
    "$.body.lines[?(@.n == $.vars.least)].sku",
    "$.body.lines[?(@.sku == 'A')].n",
    "$.body.lines[?(@.sku != 'A')].n",
    "$.body.lines[?(@.null == null)].n",
    "$.body.lines[?(@.true == true)].n",
    "$.body.lines[?(@.null)].n",
    "$.body.lines[?(!@.null)].n",
    "$.body.lines[?(@.n > 0 & @.sku == 'B')].n",
    "$.body.lines[?(@.n > 5 || @.sku == 'B')].n",
    "$.body.lines[?(@.tags[0] == 'x')].n",
    "$.body.lines[?(@.sku =~ '^[AB]$')].n",
    "$.body.lines[/n]",
    "$.body.lines[\\n]",
    "$.body.lines[/sku,\\n][*].n",
    "$.body where id",
    "$.body.lines[*] where true",
    "$.body.lines[*] wherenot true",
    "$.body.numbers.`sorted`",
    "$.body.`keys`",
    "$.body.text.`len`",
    "$.body.text.`split(l, *, -1)`",
    "$.body.text.`split(l, 0, -1)`",
    "$.body.text.`sub(/l+/, L)`",
    "$.body.id.`str()`",
    "$.body.id.`parent`.text",
    "$.body.lines[*].n.`parent`.sku",
    "$.body.id.`path`",
    "$.body.lines[*].sku.`path`",
    "$.body.lines[?(@.n > 1)].`path`",
    "$.body.id + 1",
    "$.body.id * 2 - 1",
    "$.body.lines[*].n + 10",
    "$.body.text + $.body.text",
    "$.body.id | $.vars.least",
)


@pytest.mark.rule(17)
@pytest.mark.parametrize("source", QUERIES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own `parse` warns of `&` and `|`
def test_queries_match_what_the_library_matches(source: str) -> None:
    theirs = [match.value for match in parse(source).find(deepcopy(SCOPE))]
    ours = evaluate(source)
    gives_list = MAPPER.compile(source).gives is list
    assert ours == (theirs if gives_list else theirs[0])
    assert theirs, "a query that matches nothing proves nothing"


@pytest.mark.rule(17)
@pytest.mark.parametrize("filter_text", ["@.true == 1", "@.n < 'a'", "@.nothing == null", "@.sku > 1"])
def test_values_of_different_types_are_neither_equal_nor_ordered(filter_text: str) -> None:
    assert evaluate(f"$.body.lines[?({filter_text})]") == []


KEYS = st.text(alphabet="abAB_c", min_size=1, max_size=2)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)
STEPS = st.lists(KEYS | st.integers(-3, 3), max_size=4)


def written(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


@given(st.dictionaries(KEYS, DOCUMENTS, max_size=4), STEPS)
def test_plain_paths_find_what_the_library_finds(document: dict[str, Any], steps: list[str | int]) -> None:
    source = written(steps)
    before = deepcopy(document)
    expression = MAPPER.compile(source)
    assert isinstance(expression, PlainPath)
    found = [match.value for match in parse(source).find(document)]
    if found:
        assert expression.evaluate(document) == found[0]
    else:
        with pytest.raises(MissingValue):
            expression.evaluate(document)
    assert document == before


QUERY_STEPS = st.lists(
    st.one_of(
        KEYS.map(lambda key: f".{key}"),
        st.integers(-3, 3).map(lambda index: f"[{index}]"),
        st.sampled_from(["[*]", ".*", "..a", "[0:2]", "[?(@.a)]", "[?(@.a == 1)]", "[?(@.b != 'a')]", "[?(@ > 0)]"]),
    ),
    min_size=1,
    max_size=4,
)


@given(st.dictionaries(KEYS, DOCUMENTS, max_size=4), QUERY_STEPS)
def test_generated_queries_find_what_the_library_finds(document: dict[str, Any], steps: list[str]) -> None:
    source = "$" + "".join(steps)
    theirs = [match.value for match in parse(source).find(document)]
    expression = MAPPER.compile(source)
    if expression.gives is list:
        assert expression.evaluate(document) == theirs
    elif theirs:
        assert expression.evaluate(document) == theirs[0]
    else:
        with pytest.raises(MissingValue):
            expression.evaluate(document)


@given(st.lists(st.text(min_size=1, max_size=8) | st.integers(-99, 99), max_size=5))
def test_any_quoted_key_can_be_written_and_read(keys: list[str | int]) -> None:
    source = "$"
    for key in keys:
        escaped = str(key).replace("\\", "\\\\").replace("'", "\\'")
        source += f"[{key}]" if isinstance(key, int) else f"['{escaped}']"
    assert plain_keys(source) == tuple(keys)


@pytest.mark.parametrize(
    "source", ["$.", "$[", "$.a[", "$.a]", "$.a..", "$.a[?(@.b ==)]", "$.a.`nope`", "$.a {{ b }}", ""]
)
def test_malformed_paths_are_syntax_errors(source: str) -> None:
    with pytest.raises(ExpressionSyntax):
        MAPPER.compile(source)


def test_what_the_library_parses_and_cannot_evaluate_is_rejected() -> None:
    with pytest.raises(ExpressionSyntax, match="intersection"):
        MAPPER.compile("$.a & $.b")


def test_arithmetic_takes_numbers() -> None:
    assert evaluate("$.body.price * 3", {"body": {"price": Decimal("1.10")}}) == Decimal("3.30")
    with pytest.raises(ExpressionFailed, match=r"a text \* a number"):
        evaluate("$.body.text * 1000000000")
    with pytest.raises(ExpressionFailed, match="null - a number"):
        evaluate("$.body.nothing - 1")


def test_sorting_values_of_several_types_is_an_error() -> None:
    with pytest.raises(ExpressionFailed, match="several types"):
        evaluate("$.body.`sorted`", {"body": [1, "a"]})


def nested(depth: int) -> Any:
    value: Any = {"a": 1}
    for _ in range(depth):
        value = {"a": value}
    return value


WIDE = {"body": {"items": [{"n": number, "s": "aaaa"} for number in range(60_000)], "long": "a" * 1_000_000}}


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "source",
    [
        "$..*",
        "$..n",
        "$.body.items[?(@..n)]",
        "$.body.items[?(@..n > 1)]",
        "$.body.items[/n]",
        "$.body.long.`split(a, *, -1)`",
        "$.body.long.`sub(/a/, bbbbbbbbbbbbbbbbbbbb)`",
        "$.body[?(@ =~ 'a*a*b')]",
    ],
)
def test_a_large_message_cannot_make_a_query_run_long(source: str) -> None:
    with pytest.raises(ExpressionLimit):
        evaluate(source, WIDE)


@pytest.mark.rule(17)
def test_values_found_by_two_queries_are_compared_in_depth() -> None:
    scope = {"body": [{"a": [1, {"b": 2}]}, {"a": [1, {"b": True}]}, {"a": [1]}], "vars": {"a": [1, {"b": 2}]}}
    assert evaluate("$.body[?(@.a == $.vars.a)]", scope) == [{"a": [1, {"b": 2}]}]
    large = {"body": [{"a": [0] * 200_000}] * 2, "vars": {"a": [0] * 200_000}}
    with pytest.raises(ExpressionLimit):
        evaluate("$.body[?(@.a == $.vars.a)]", large)


def test_descents_in_descents_are_bounded() -> None:
    with pytest.raises(ExpressionLimit):
        evaluate("$..a..a..a..a", {"body": nested(100)})


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|aa)*", "(a*)*b", "((a+)b)+", r"(a)\\1", "(?:a?)*", "([ab]+c?){2,}", "(a+){2}(b+)+", "(?x)(a+) +"],
)
def test_patterns_whose_time_grows_exponentially_are_rejected(pattern: str) -> None:
    with pytest.raises(ExpressionSyntax):
        MAPPER.compile(f"$.body[?(@.s =~ '{pattern}')]")


@pytest.mark.parametrize("pattern", ["^ord-[0-9]+$", "(abc)+", r"^(de|at)-", "[a-z]{2,5}x", "colou?r"])
def test_patterns_of_known_cost_are_taken(pattern: str) -> None:
    assert MAPPER.compile(f"$.body[?(@.s =~ '{pattern}')]").evaluate({"body": [{"s": "-"}]}) == []


def test_a_query_does_not_change_its_scope_and_gives_the_same_again() -> None:
    scope = deepcopy(SCOPE)
    for source in QUERIES:
        expression = MAPPER.compile(source)
        assert expression.evaluate(scope) == expression.evaluate(scope)
    assert scope == SCOPE
