"""`nested`: names in brackets stand for objects and lists."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.bodies.urlencoded import collect_nested
from hookline.kernel.errors import Malformed
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", {}),
        ("a=1&a=2&b=3", {"a": ["1", "2"], "b": "3"}),
        ("a[b]=1", {"a": {"b": "1"}}),
        ("a[b][]=1", {"a": {"b": ["1"]}}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[b]=1&a[b]=2", {"a": {"b": ["1", "2"]}}),
        ("l[0][s]=A&l[1][s]=B", {"l": [{"s": "A"}, {"s": "B"}]}),
        ("l[1]=x&l[0]=y", {"l": ["y", "x"]}),
        ("l[1]=x", {"l": {"1": "x"}}),
        ("l[0]=x&l[a]=y", {"l": {"0": "x", "a": "y"}}),
        ("l[00]=x", {"l": {"00": "x"}}),
        ("0=x", {"0": "x"}),
        ("0[a]=x&1=y", {"0": {"a": "x"}, "1": "y"}),
        ("l[][s]=A&l[][q]=1&l[][s]=B&l[][q]=2", {"l": [{"s": "A", "q": "1"}, {"s": "B", "q": "2"}]}),
        ("l[][a][b]=1&l[][a][c]=2&l[][a][b]=3", {"l": [{"a": {"b": "1", "c": "2"}}, {"a": {"b": "3"}}]}),
        ("x[][t][]=1&x[][t][]=2&x[][n]=a&x[][n]=b", {"x": [{"t": ["1", "2"], "n": "a"}, {"n": "b"}]}),
        ("a[][b]=1&a[]=2", {"a": [{"b": "1"}, "2"]}),
        ("m[][]=1&m[][]=2", {"m": [["1", "2"]]}),
        (
            "a[b=1&a]b=2&[x]=3&a[b]c=4&a[[b]]=5&=6",
            {"a[b": "1", "a]b": "2", "[x]": "3", "a[b]c": "4", "a[[b]]": "5", "": "6"},
        ),
        ("a[ b ]=1&a[é]=2", {"a": {" b ": "1", "é": "2"}}),
    ],
)
def test_names_in_brackets_are_objects_and_lists(query: str, value: dict[str, Any]) -> None:
    assert collect_nested(parse_qsl(query, keep_blank_values=True)) == value


@pytest.mark.parametrize(
    "query", ["a=1&a[b]=2", "a[b]=2&a=1", "a[]=1&a[b]=2", "a[b]=1&a[]=1", "a[]=1&a=2", "a[b]=1&a[b][c]=2"]
)
def test_a_name_that_is_used_in_two_ways_is_malformed(query: str) -> None:
    with pytest.raises(Malformed, match="in two ways"):
        collect_nested(parse_qsl(query))


@pytest.mark.rule(7)
def test_names_may_be_nested_128_levels_deep() -> None:
    value: Any = collect_nested([("a" + "[b]" * 127, "1")])
    for _ in range(128):
        (value,) = value.values()
    assert value == "1"
    with pytest.raises(Malformed, match="deeper than 128"):
        collect_nested([("a" + "[b]" * 128, "1")])
    with pytest.raises(Malformed, match="deeper than 128"):
        collect_nested([("a" + "[]" * 100_000, "1")])


def test_brackets_are_bounded_in_all_names_together() -> None:
    deep = [(f"a[{number}]" + "[b]" * 99, "1") for number in range(1001)]
    assert len(collect_nested(deep[:1000])["a"]) == 1000
    with pytest.raises(Malformed, match="brackets"):
        collect_nested(deep)


def flattened(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in flattened(item, f"{name}[{key}]" if name else key)]
    if isinstance(value, list):
        return [pair for at, item in enumerate(value) for pair in flattened(item, f"{name}[{at}]")]
    return [(name, value)]


keys = st.text("abc é", min_size=1, max_size=3)
values = st.recursive(
    st.text(max_size=3),
    lambda children: (
        st.lists(children, min_size=1, max_size=3) | st.dictionaries(keys, children, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=3))
def test_what_is_written_with_brackets_is_read_again(value: dict[str, Any]) -> None:
    assert collect_nested(parse_qsl(urlencode(flattened(value)), keep_blank_values=True)) == value


@given(st.lists(st.tuples(st.text("ab[]01", max_size=12), st.just("v")), max_size=8))
def test_any_names_are_read_or_malformed(pairs: list[tuple[str, str]]) -> None:
    try:
        body = collect_nested(pairs)
    except Malformed:
        return
    # Nothing is lost, and nothing comes up twice.
    assert json.dumps(body).count('"v"') == len(pairs)


async def test_forms_queries_and_multipart_are_nested_where_the_flow_says_so() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="o[l][]"\r\n\r\n1\r\n--b--\r\n'
    for nested, body in ((True, {"o": {"l": ["1"]}}), (False, {"o[l][]": "1"})):
        hook = HookOverMemory(webhook_flow(nested=nested, methods=("GET", "POST")))
        assert (await hook.send(b"o%5Bl%5D[]=1", FORM)).status == 202
        assert (await hook.send(method="GET", query=b"o[l][]=1", content_type=None)).status == 202
        assert (await hook.send(part, "multipart/form-data; boundary=b")).status == 202
        assert [envelope.message.body for envelope in hook.intake.accepted] == [body] * 3
        # The query beside a body stays a list of properties.
        await hook.send(b"a=1", FORM, query=b"x[y]=1")
        assert hook.intake.accepted[-1].arrival.query == {"x[y]": "1"}


async def test_names_that_contradict_one_another_are_400() -> None:
    hook = HookOverMemory(webhook_flow(nested=True))
    assert (await hook.send(b"a=1&a[b]=2", FORM)).status == 400
