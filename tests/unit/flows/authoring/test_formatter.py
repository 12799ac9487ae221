"""The canonical form of a flow's file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.flows.authoring.formatted_flows import FILE, content

from hookline.catalog.flow_folder import scan
from hookline.flows.authoring.formatter import WIDTH, format_flow
from hookline.flows.documents.read import read
from hookline.flows.documents.version import version_of

SHIPPED = Path(__file__).parents[4] / "flows"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
actions = st.fixed_dictionaries(
    {"use": st.just("map")}, optional={"id": st.just("a"), "with": json_values, "x": json_values}
)
lists = st.lists(actions, max_size=2)
steps = st.one_of(
    actions,
    st.fixed_dictionaries({"steps": lists, "foreach": st.just("$.body"), "id": st.just("b")}),
    st.fixed_dictionaries({"try": lists, "when": st.just(True)}, optional={"catch": lists}),
    st.fixed_dictionaries({"parallel": st.fixed_dictionaries({"one": lists})}),
    st.fixed_dictionaries(
        {"switch": st.lists(st.fixed_dictionaries({"steps": lists, "when": json_values}), max_size=2)}
    ),
)
documents = st.fixed_dictionaries(
    {"steps": st.lists(steps, max_size=3) | json_values, "id": st.just("f")},
    optional={
        "trigger": json_values,
        "vars": json_values,
        "title": st.text(max_size=8),
        "schema": json_values,
        "on_error": lists,
        "other": json_values,
    },
)


def value_of(text: str) -> Any:
    return read(text.encode()).value


@settings(max_examples=40)
@given(documents)
def test_it_is_the_same_version_and_its_own_canonical_form(document: dict[str, Any]) -> None:
    document = value_of(json.dumps(document))
    text = format_flow(document)
    assert value_of(text) == document
    assert version_of(value_of(text)) == version_of(document)
    assert format_flow(value_of(text)) == text


@settings(max_examples=40)
@given(documents, st.randoms())
def test_the_order_of_the_keys_of_the_language_makes_no_difference(document: dict[str, Any], random: Any) -> None:
    known = {key: value for key, value in document.items() if key != "other"}
    shuffled = list(known.items())
    random.shuffle(shuffled)
    assert format_flow(dict(shuffled)) == format_flow(known)


def test_keys_stand_in_the_order_of_the_language_and_those_that_the_author_names_as_written() -> None:
    document = {
        "steps": [
            {"on_error": "continue", "with": {"body": {"z": 1, "a": 2}}, "when": True, "use": "map", "id": "m"},
            {"steps": [{"use": "stop", "id": "s"}], "as": "line", "foreach": "$.body", "id": "each"},
        ],
        "vars": {"z": 1, "a": 2},
        "trigger": {"with": {"verify": "none"}, "use": "webhook"},
        "title": "T",
        "id": "f",
    }
    assert format_flow(document) == (
        "{\n"
        '  "id": "f",\n'
        '  "title": "T",\n'
        '  "trigger": {"use": "webhook", "with": {"verify": "none"}},\n'
        '  "vars": {"z": 1, "a": 2},\n'
        '  "steps": [\n'
        '    {"id": "m", "use": "map", "when": true, "with": {"body": {"z": 1, "a": 2}}, "on_error": "continue"},\n'
        '    {"id": "each", "foreach": "$.body", "as": "line", "steps": [{"id": "s", "use": "stop"}]}\n'
        "  ]\n"
        "}\n"
    )


def test_lines_end_in_time_where_no_single_text_is_longer() -> None:
    document = {
        "id": "f",
        "steps": [{"id": f"s{n}", "use": "map", "with": {"body": ["word" * 5] * n}} for n in range(9)],
    }
    assert all(len(line) <= WIDTH for line in format_flow(document).splitlines())


def test_digits_that_no_binary64_says_stay() -> None:
    text = '{"id": "f", "vars": {"n": 12345678901234567890123, "d": 0.1234567890123456789012345}}'
    assert '"n": 12345678901234567890123, "d": 0.1234567890123456789012345' in format_flow(value_of(text))


@pytest.mark.parametrize("file", sorted(scan(SHIPPED)), ids=lambda file: file.name)
def test_shipped_flows_are_canonical(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert format_flow(value_of(text)) == text


def test_the_console_is_compared_with_this_layout() -> None:
    assert FILE.read_text(encoding="utf-8") == content(), "run python -m tests.unit.flows.authoring.formatted_flows"
