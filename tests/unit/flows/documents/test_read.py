"""A flow's text is read with the line of every value, and what is wrong with it is named with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.flows.documents.read import lines, read
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.pointers_and_patches import escape


def problem(data: bytes) -> Problem:
    with pytest.raises(FlowInvalid) as caught:
        read(data, "f.json")
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def pointers(value: Any, pointer: str = "") -> list[str]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [pointer, *(p for key, inner in children for p in pointers(inner, f"{pointer}/{escape(key)}"))]


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_value_has_a_line(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert [pointer for pointer, _ in lines(text)] == pointers(value)
    document = read(text.encode())
    assert document.value == value
    assert not document.problems


@given(json_values)
def test_one_value_to_a_line_gives_that_line(value: Any) -> None:
    rows = json.dumps({"first": value, "second": [value, "x"]}, indent=1).splitlines()
    document = read("\n".join(rows).encode())
    assert document.line("/first") == 2
    assert '"second"' in rows[document.line("/second") - 1]
    assert rows[document.line("/second/1") - 1].strip() == '"x"'


def test_a_line_of_what_does_not_exist_is_that_of_what_is_around_it() -> None:
    document = read(b'{\n "a": {\n  "b": 1\n }\n}')
    assert document.line("/a/b") == 3
    assert document.line("/a/c/d") == 2
    assert document.line("/z") == 1


def test_a_byte_order_mark_is_dropped() -> None:
    assert read(b'\xef\xbb\xbf{"id": "a"}').value == {"id": "a"}


def test_integers_are_exact() -> None:
    assert read(b"[123456789012345678901234567890]").value == [123456789012345678901234567890]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"", 1, "column 1"),
        (b'{\n "a": 1,\n}', None, "column"),
        (b'{\n "a": 1\n "b": 2}', 3, "line 3, column 2"),
        (b'{"a": "x\n"}', 1, "Invalid control character"),
        (b'{"a": 1}\n}', 2, "Extra data"),
        (b'{\n"a": "\xff"}', 2, "not UTF-8"),
        (b'{"a": NaN}', None, "NaN"),
        (b'{"a": 1e999}', None, "too large"),
        (b'{"a": "\\ud800"}', None, "surrogate"),
        (b"[" * 200 + b"]" * 200, None, "nested more than 128"),
        (b"[" * 200_000, None, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_named_with_its_place_and_a_remedy(text: bytes, line: int | None, words: str) -> None:
    found = problem(text)
    assert found.code == "syntax"
    assert words in found.message
    assert found.remedy
    assert found.file == "f.json"
    assert line is None or found.line == line


def test_repeated_keys_are_problems_each_with_its_line() -> None:
    document = read(b'{\n "a": 1,\n "b": [{"c": 1,\n "c": 2}],\n "a": 3}', "f.json")
    assert [(p.pointer, p.line, p.code) for p in document.problems] == [
        ("/b/0/c", 4, "duplicate_key"),
        ("/a", 5, "duplicate_key"),
    ]
    assert "first in line 2" in document.problems[1].message
