"""Keys of messages: one expression or several, without ambiguity."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.message_keys import MessageKey
from hookline.flows.elements.message_scope import arrival_scope
from hookline.kernel.errors import FlowInvalid, SchemaViolation
from hookline.kernel.json import encode
from hookline.model.message import Arrival, Message

REGISTRY = load_plugins()


def flow(dedupe_key: Any = None, **settings: Any) -> CompiledFlow:
    trigger = {"use": "webhook", "with": {"verify": "none", "dedupe_key": dedupe_key}}
    return compile_flow(encode({"id": "orders", "trigger": trigger, "steps": [], **settings}), REGISTRY)


def key(source: Any) -> MessageKey:
    made = flow(source).trigger.dedupe_key
    assert made is not None
    return made


def scope(body: Any, headers: dict[str, str] | None = None, **arrival: Any) -> dict[str, Any]:
    return arrival_scope(Message(body, headers or {}), Arrival("webhook", **arrival), {})


def test_a_compound_key_takes_from_the_body_the_headers_and_the_schemes_own_id() -> None:
    made = key(["$.body.shop", "$.headers.x-delivery", "$.trigger.scheme_id"])
    text = made.text(scope({"shop": 7}, {"x-delivery": "d1"}, scheme_id="evt_1"))
    assert text == 'l:[7,"d1","evt_1"]'


TEXTS = st.lists(st.text(max_size=4), min_size=2, max_size=2)


@pytest.mark.rule(9)
@given(TEXTS, TEXTS)
def test_two_compound_keys_are_equal_only_where_all_their_parts_are(one: list[str], other: list[str]) -> None:
    made = key(["$.body[0]", "$.body[1]"])
    assert (made.text(scope(one)) == made.text(scope(other))) == (one == other)


def test_a_compound_key_is_none_of_its_parts_nor_their_list() -> None:
    texts = {
        key("$.body.a").text(scope({"a": "x"})),
        key(["$.body.a"]).text(scope({"a": "x"})),
        key("$.body.a").text(scope({"a": ["x"]})),
        key(["$.body.a"]).text(scope({"a": ["x"]})),
    }
    assert len(texts) == 4


def test_a_long_key_is_bounded() -> None:
    assert len(key(["$.body.a", "$.body.b"]).text(scope({"a": "x" * 500, "b": 1}))) <= 200


@pytest.mark.rule(9)
@pytest.mark.parametrize("body", [{"a": 1}, {"a": 1, "b": None}])
def test_a_compound_key_with_a_part_that_is_missing_or_null_is_422(body: Any) -> None:
    with pytest.raises(SchemaViolation) as rejected:
        key(["$.body.a", "$.body.b"]).text(scope(body))
    assert rejected.value.problems[0].code == "dedupe_key"


def test_each_part_is_checked_at_its_own_place() -> None:
    with pytest.raises(FlowInvalid) as wrong:
        flow(["$.body.id", "body.shop", "$.steps.a.body"])
    assert [(problem.code, problem.pointer) for problem in wrong.value.problems] == [
        ("constant_key", "/trigger/with/dedupe_key/1"),
        ("out_of_scope", "/trigger/with/dedupe_key/2"),
    ]


@pytest.mark.parametrize("make", [lambda: flow([]), lambda: flow(order_by=[]), lambda: flow(order_by=3)])
def test_a_key_of_nothing_is_a_problem(make: Callable[[], object]) -> None:
    with pytest.raises(FlowInvalid):
        make()


def test_order_by_is_compiled_over_what_there_is_on_arrival() -> None:
    made = flow(order_by="{{ body.customer | lower }}").order_by
    assert made is not None
    assert made.text(scope({"customer": "ACME"})) == "s:acme"
    with pytest.raises(FlowInvalid) as wrong:
        flow(order_by="$.execution.id")
    assert wrong.value.problems[0].pointer == "/order_by"


def test_an_order_key_that_is_constant_is_possible_and_warned_of() -> None:
    made = flow(order_by="all").order_by
    assert made is not None
    assert made.text(scope({})) == "s:all"
