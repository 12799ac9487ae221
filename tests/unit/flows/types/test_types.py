"""What is known of values in flows: by schemas, annotations and samples, and what steps make of it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

import hookline_generic
import hookline_mapping
from hookline.api import Connector, Exposed, JsonValue, Reply, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.blocks import BLOCKS, USES
from hookline.flows.check.check_flow import check_flow
from hookline.flows.check.step_scopes import step_scopes
from hookline.flows.check.type_analysis import _BLOCKS
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.elements.message_scope import trigger_view
from hookline.flows.types.json_schema import from_schema
from hookline.flows.types.path_lookup import PathFound, PathMissing, look_up
from hookline.flows.types.return_annotation import from_annotation
from hookline.flows.types.sample_shapes import read_samples
from hookline.flows.types.shape import UNKNOWN, shape_text
from hookline.flows.types.type_scope import MessageShape, trigger_shape
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode
from hookline.model.message import Arrival, Message


class Line(BaseModel):
    sku: str
    price: Decimal


class Order(BaseModel):
    id: int
    total: float = 0
    note: str | None = None
    placed: datetime
    lines: list[Line]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: int


class Row(TypedDict):
    sku: str
    note: NotRequired[str]


@dataclass
class Point:
    x: int
    label: str = ""


class Colour(Enum):
    RED = "red"


shop = Connector("shop")


@shop.action(idempotent=True)
async def order() -> Order:
    """Give an order."""
    raise NotImplementedError


@shop.action(idempotent=False)
async def charge(amount: float = 0, gift: bool = False, names: list[str] | None = None) -> Row:
    """Charge somebody."""
    raise NotImplementedError


@shop.action
async def login(token: SecretStr, note: Annotated[str, Exposed()] = "") -> Reply:
    """Log in."""
    raise NotImplementedError


@shop.action
async def rows(stream: bool = False) -> list[Row] | AsyncIterator[Row]:
    """Give rows."""
    raise NotImplementedError


class Plugin:
    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [shop]


@pytest.fixture(scope="module")
def shops() -> Registry:
    made = load_plugins([], extra_plugins=[hookline_generic, hookline_mapping, Plugin()])
    assert not made.failed
    return made


Lint = Callable[..., list[Problem]]


@pytest.fixture
def lint(shops: Registry) -> Lint:
    def of(*steps: Any, cases: Any = None, trigger: Any = None, **more: Any) -> list[Problem]:
        used = {"use": "webhook", "with": {"verify": "none", **(trigger or {})}}
        document = {"id": "orders", "trigger": used, "steps": list(steps), **more}
        found = check_flow(encode(document), shops, file="orders.json", samples=read_samples(cases)).problems
        return [problem for problem in found if problem.code != "not_verified"]

    return of


def one(problems: list[Problem], code: str, severity: str) -> Problem:
    assert [(problem.code, problem.severity) for problem in problems] == [(code, severity)], problems
    assert problems[0].remedy
    return problems[0]


ORDER = {"id": "order", "use": "shop.order"}


def given(body: Any, id: str = "m") -> dict[str, Any]:
    return {"id": id, "use": "map", "with": {"body": body}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (True, "any"),
        ({}, "any"),
        ({"properties": {"a": {}}}, "any"),
        ({"type": "integer"}, "number"),
        ({"type": ["string", "null"]}, "text | null"),
        ({"enum": ["a", 1]}, "text | number"),
        ({"const": {"a": [1]}}, "{a: list of number}"),
        ({"type": "array"}, "list of any"),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}}, "list of any"),
        ({"type": "object", "required": ["b"], "properties": {"a": {"type": "string"}}}, "{a?: text, b: any, …}"),
        ({"type": "object", "additionalProperties": False}, "{}"),
        ({"type": "object", "additionalProperties": False, "patternProperties": {"^x": {}}}, "{…}"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]}, "text | list of number"),
        ({"anyOf": [{"type": "string"}, {}]}, "any"),
        ({"allOf": [{"minLength": 3}, {"type": "string"}]}, "text"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "boolean"}}}, "boolean"),
        ({"$ref": "https://example.com/other"}, "any"),
        ({"$ref": "#/$defs/none"}, "any"),
    ],
)
def test_a_schema_says_what_its_values_look_like(schema: Any, words: str) -> None:
    assert shape_text(from_schema(schema)) == words


def test_a_schema_that_refers_to_itself_is_read_so_deep_and_no_deeper() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    found = look_up(from_schema(tree), ["next"] * 5)
    assert isinstance(found, PathFound)
    assert isinstance(look_up(from_schema(tree), ["next", "next", "nxet"]), PathMissing)
    assert isinstance(look_up(from_schema(tree), ["next"] * 50 + ["nxet"]), PathFound)
    assert from_schema({"$ref": "#"}) == UNKNOWN


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text"),
        (datetime, "text"),
        (Decimal, "number"),
        (None, "null"),
        (Any, "any"),
        (JsonValue, "any"),
        (object(), "any"),
        (dict[str, Any], "{…}"),
        (tuple[int, str], "list of any"),
        (list[Line], "list of Line {sku: text, price: number}"),
        (Row, "Row {sku: text, note?: text}"),
        (Point, "Point {x: number, label: text}"),
        (Open, "Open {id: number, …}"),
        (Colour, "text"),
        (Literal["a", "b"], "text"),
        (list[Row] | None, "list of Row {sku: text, note?: text} | null"),
        (AsyncIterator[Row], "stream of Row {sku: text, note?: text}"),
        (Annotated[dict[str, Any], WithJsonSchema({"type": "object", "required": ["a"]})], "{a: any, …}"),
    ],
)
def test_an_annotation_says_what_results_look_like(annotation: Any, words: str) -> None:
    assert shape_text(from_annotation(annotation)) == words


def test_samples_show_keys_and_neither_that_they_are_there_nor_the_types_of_their_values() -> None:
    cases = {
        "cases": [
            {"input": {"body": {"id": 1, "lines": [{"sku": "a"}, {"sku": "b", "price": None}]}}, "stubs": 7},
            {"input": {"body": {"id": None, "who": {"name": "Ada"}}}, "stubs": {"each[0]/post": {"result": {"a": 1}}}},
            {
                "stubs": {"each/post": [{"result": {"b": [2]}}, {"error": {}}]},
                "answers": {"ask": {"body": {"yes": True}}},
            },
            "no case",
        ]
    }
    found = read_samples(cases)
    assert shape_text(found.body) == (
        "any, such as {id?: any, lines?: list of {sku?: any, price?: any, …}, who?: {name?: any, …}, …}"
    )
    assert {name: shape_text(shape) for name, shape in found.results.items()} == {
        "post": "any, such as {a?: any, b?: list of any, …}",
        "ask": "any, such as {yes?: any, …}",
    }
    assert read_samples(None).body == read_samples({"cases": 3}).body == UNKNOWN


def test_a_path_that_a_type_does_not_have_is_an_error_that_names_the_nearest(lint: Lint) -> None:
    problem = one(lint(ORDER, given("$.steps.order.body.totl")), "no_such_key", "error")
    assert problem.pointer == "/steps/1/with/body"
    assert problem.message == "steps.order.body.totl: steps.order.body, Order, has no 'totl'"
    assert problem.remedy == "did you mean 'total'?"


@pytest.mark.parametrize(
    "path",
    ["$.body.lines[0].sku", "{{ body.lines[3].price * 2 }}", "$.steps.order.body.placed", "$.body.lines[*].whatever"],
)
def test_what_a_type_has_is_right(lint: Lint, path: str) -> None:
    assert lint(ORDER, given(path)) == []


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("$.body.lines.sku", "a list"),
        ("$.body.id.x", "a number"),
        ("$.body[0]", "Order"),
        ("$.body.note.x", "text or null"),
    ],
)
def test_a_value_has_nothing_that_its_kind_has_not(lint: Lint, path: str, named: str) -> None:
    assert named in one(lint(ORDER, given(path)), "no_such_key", "error").message


def test_a_default_for_what_can_not_be_there_is_warned(lint: Lint) -> None:
    step = given({"jsonpath": "$.body.totl", "default": 0})
    assert "default is always used" in one(lint(ORDER, step), "no_such_key", "warning").message
    assert one(lint(ORDER, given("{{ body.totl | default(0) }}")), "no_such_key", "warning")


def test_what_a_type_does_not_require_is_warned_unless_a_default_or_a_condition_stands_by(lint: Lint) -> None:
    charge = {"id": "c", "use": "shop.charge", "retry": {"attempts": 1}}
    assert "may be missing" in one(lint(charge, given("$.body.note")), "may_be_missing", "warning").message
    assert lint(charge, given("{{ body.note | default('') }}")) == []
    assert lint(charge, {**given("$.body.note"), "when": "{{ body.note is defined }}"}) == []
    asked = {"use": "filter", "with": {"keep": "{{ body.note is defined }}"}}
    assert lint(charge, asked, given("$.body.note")) == []
    case = {"when": "{{ body.note is defined }}", "steps": [given("$.body.note")]}
    assert lint(charge, {"switch": [case]}) == []


def test_what_a_schema_leaves_open_is_warned_only_where_a_name_is_near(lint: Lint) -> None:
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    assert "'total'" in one(lint(given("$.body.totl"), schema=schema), "doubtful_key", "warning").remedy
    assert lint(given("$.body.customer"), schema=schema) == []
    assert one(lint(given("$.body.c"), schema={**schema, "additionalProperties": False}), "no_such_key", "error")


def test_samples_only_ever_lead_to_warnings(lint: Lint) -> None:
    cases = {"cases": [{"input": {"body": {"total": 1, "lines": []}}}]}
    assert "'total'" in one(lint(given("$.body.totl"), cases=cases), "doubtful_key", "warning").remedy
    assert one(lint(given("$.body.lines.sku"), cases=cases), "doubtful_key", "warning")
    assert lint(given("$.body.total.net"), cases=cases) == []
    assert lint({"foreach": "$.body.total", "steps": [given("$.item")]}, cases=cases) == []
    assert lint(given("$.body.totl"), cases=cases, schema={"type": "object"}) == []


def test_names_that_every_flow_has_are_known(lint: Lint) -> None:
    assert lint(given("$.trigger.query.page")) == lint(given("$.headers.x")) == lint(given("$.attachments[0].id")) == []
    assert "received_at" in one(lint(given("$.trigger.recieved_at")), "no_such_key", "error").remedy
    assert one(lint(given("$.execution.hooks.a.url")), "no_such_key", "error")
    assert one(lint(given("$.attachments[0].naem")), "no_such_key", "error")
    assert one(lint(order_by="$.trigger.pth"), "no_such_key", "error").pointer == "/order_by"


def test_a_result_has_no_headers(lint: Lint) -> None:
    assert "trigger.headers" in one(lint(ORDER, given("$.headers.x")), "no_such_key", "error").remedy
    log = {"use": "log", "with": {"message": "x"}}
    assert lint(log, given("$.headers.x")) == []


def test_an_error_is_there_only_where_the_step_goes_on(lint: Lint) -> None:
    path = "{{ steps.order.error | default(none) }}"
    assert lint({**ORDER, "on_error": "continue"}, given(path)) == []
    assert "on_error" in one(lint(ORDER, given(path)), "no_such_key", "warning").remedy
    assert lint({**ORDER, "on_error": "continue"}, given("$.body.whatever")) == []


def test_a_step_that_may_be_left_out_may_have_no_result(lint: Lint) -> None:
    left_out = {**ORDER, "when": "{{ body.a == 1 }}"}
    assert one(lint(left_out, given("$.steps.order.body.id")), "step_may_not_run", "warning")
    assert lint(left_out, {**given("$.steps.order.body.id"), "when": "{{ steps.order is defined }}"}) == []


def test_a_switch_gives_what_one_of_its_cases_gives(lint: Lint) -> None:
    cases = [
        {"when": "{{ body.a == 1 }}", "steps": [given({"x": 1}, "a")]},
        {"otherwise": True, "steps": [given({"y": 2}, "b")]},
    ]
    assert lint({"switch": cases}, given("$.body.x")) == []
    assert one(lint({"switch": cases}, given("$.body.z")), "no_such_key", "error")
    assert lint({"switch": cases[:1]}, given("$.body.z")) == []
    assert lint({"switch": cases, "match": "all"}, given("$.body.z")) == []
    filtered = [
        {"otherwise": True, "steps": [{"use": "filter", "with": {"keep": "{{ body.a == 1 }}"}}, given({"x": 1}, "a")]}
    ]
    assert lint({"switch": filtered}, given("$.body.z")) == []


def test_a_foreach_gives_a_list_of_what_an_item_becomes(lint: Lint) -> None:
    each = {"id": "each", "foreach": "$.body.lines", "as": "line", "steps": [given({"s": "$.line.sku"}, "inner")]}
    assert lint(ORDER, each, given("$.body[0].s")) == []
    assert one(lint(ORDER, each, given("$.body[0].t")), "no_such_key", "error")
    assert one(lint(ORDER, {**each, "steps": [given("$.line.skuu", "inner")]}), "no_such_key", "error")
    assert one(lint(ORDER, {**each, "foreach": "$.body.total"}), "wrong_type", "error").pointer == "/steps/1/foreach"
    assert lint(ORDER, {**each, "collect": "count"}, given("$.body.failed")) == []
    assert one(lint(ORDER, {**each, "collect": "count"}, given("$.body[0]")), "no_such_key", "error")


def test_a_foreach_over_what_may_be_a_stream_gives_its_results_or_counts(lint: Lint) -> None:
    each = {"id": "each", "foreach": "$.body", "steps": [given("$.item.sku", "inner")]}
    assert lint({"use": "shop.rows"}, each, given("$.body.count")) == []
    assert lint({"use": "shop.rows"}, each, given("$.body[0]")) == []
    assert one(lint({"use": "shop.rows"}, given("$.body.sku")), "no_such_key", "error")


def test_a_parallel_gives_an_object_of_its_branches(lint: Lint) -> None:
    both = {"id": "both", "parallel": {"a": [given({"x": 1}, "one")], "b": [given(2, "two")]}}
    assert lint(both, given("$.body.a.x")) == []
    assert "'a'" not in one(lint(both, given("$.body.c.x")), "no_such_key", "error").message
    assert one(lint(both, given("$.steps.both.errors.a")), "no_such_key", "error")
    assert lint({**both, "on_error": "continue"}, given("{{ steps.both.errors.a | default(none) }}")) == []


def test_a_try_gives_what_it_or_its_catch_gives(lint: Lint) -> None:
    caught = {"id": "t", "try": [given({"x": 1}, "a")], "catch": [given({"why": "$.error.code"}, "b")]}
    assert lint(caught, given("$.body.x")) == lint(caught, given("$.body.why")) == []
    assert one(lint(caught, given("$.body.z")), "no_such_key", "error")
    assert one(lint({**caught, "catch": [given("$.error.cod", "b")]}), "no_such_key", "error")


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"gift": "$.body.total"}, True),
        ({"gift": "$.body.lines"}, False),
        ({"amount": "$.body.total"}, True),
        ({"amount": "$.body.note"}, True),
        ({"amount": "$.body.lines"}, False),
        ({"names": "$.body.id"}, False),
        ({"names": "$.body.lines"}, True),
        ({"names": "$.body.unknown", "amount": 1}, None),
    ],
)
def test_a_value_whose_type_can_not_be_right_is_an_error(lint: Lint, settings: Any, fits: bool | None) -> None:
    found = lint(ORDER, {"use": "shop.charge", "with": settings, "retry": {"attempts": 1}})
    if fits is None:
        one(found, "no_such_key", "error")
    elif fits:
        assert found == []
    else:
        assert one(found, "wrong_type", "error").pointer.startswith("/steps/1/with/")


def test_a_condition_of_another_type_is_an_error(lint: Lint) -> None:
    assert one(lint(ORDER, {**given(1), "when": "$.body.total"}), "expression.condition", "error")


@pytest.mark.parametrize("end", [{"use": "stop"}, {"use": "fail", "with": {"message": "no"}}])
def test_what_comes_after_the_end_never_runs(lint: Lint, end: Any) -> None:
    assert one(lint(end, given(1), given(2, "n")), "unreachable", "warning").pointer == "/steps/1"
    assert lint({**end, "when": "{{ body.a == 1 }}"}, given(1)) == []
    branch = {"switch": [{"when": "{{ body.a == 1 }}", "steps": [end]}, {"otherwise": True, "steps": [end]}]}
    assert one(lint(branch, given(1)), "unreachable", "warning").pointer == "/steps/1"
    assert lint({"switch": branch["switch"][:1]}, given(1)) == []
    assert lint({"try": [end], "catch": [given(2, "n")]}, given(1)) == []


def test_what_a_constant_condition_rules_out_never_runs(lint: Lint) -> None:
    assert one(lint({**given(1), "when": False}), "unreachable", "warning").pointer == "/steps/0/when"
    cases = [{"when": True, "steps": [given(1)]}, {"otherwise": True, "steps": []}]
    assert one(lint({"switch": cases}), "unreachable", "warning").pointer == "/steps/0/switch/1"


REPLY = {"id": "r", "use": "reply", "with": {"status": 200}}


def test_an_answer_needs_somebody_who_waits_and_the_other_way_about(lint: Lint) -> None:
    assert one(lint(REPLY), "reply_unheard", "warning").pointer == "/steps/0"
    waits = {"respond": "reply"}
    assert lint(REPLY, trigger=waits) == []
    assert one(lint(given(1), trigger=waits), "reply_missing", "warning").pointer == "/trigger/with/respond"


@pytest.mark.parametrize(
    ("steps", "answered"),
    [
        ([{**REPLY, "when": "{{ body.a == 1 }}"}], False),
        ([{"use": "filter", "with": {"keep": "{{ body.a == 1 }}"}}, REPLY], False),
        ([{"use": "stop", "when": "{{ body.a == 1 }}"}, REPLY], False),
        ([{"switch": [{"when": "{{ body.a == 1 }}", "steps": [REPLY]}]}], False),
        ([{"switch": [{"when": "{{ body.a == 1 }}", "steps": []}, {"otherwise": True, "steps": [REPLY]}]}], False),
        ([{"switch": [{"otherwise": True, "steps": [REPLY]}]}], True),
        ([{"foreach": "$.body", "steps": [REPLY]}], False),
        ([{"parallel": {"a": [REPLY], "b": [given(1)]}}], True),
        ([{"try": [REPLY], "catch": [given(1)]}], False),
        ([{"try": [given(1)], "finally": [REPLY]}], True),
        ([{"use": "fail", "with": {"message": "no"}, "when": "{{ body.a == 1 }}"}, REPLY], True),
    ],
)
def test_a_way_without_an_answer_is_warned(lint: Lint, steps: Any, answered: bool) -> None:
    codes = [problem.code for problem in lint(*steps, trigger={"respond": "reply"})]
    assert codes == ([] if answered else ["reply_missing"])


def test_what_is_not_safe_to_repeat_is_warned_where_it_is_repeated(lint: Lint) -> None:
    charge = {"id": "c", "use": "shop.charge"}
    assert one(lint(charge), "unsafe_retry", "warning").pointer == "/steps/0"
    assert (
        lint({**charge, "retry": {"attempts": 1}}) == lint({**charge, "delivery": "at_most_once"}) == lint(ORDER) == []
    )


def test_secrets_that_others_see_are_warned(lint: Lint) -> None:
    def log(text: str) -> dict[str, Any]:
        return {"use": "log", "with": {"message": text}}

    vars = {"api_token": "t", "tokens_sold": 3}
    assert one(lint(log("{{ headers.authorization }}")), "secret_shown", "warning").pointer == "/steps/0/with/message"
    assert one(lint(log("it is {{ vars.api_token }}"), vars=vars), "secret_shown", "warning")
    assert lint(log("{{ vars.tokens_sold }} {{ body.token }}"), vars=vars) == []
    login = {"id": "l", "use": "shop.login"}
    assert (
        one(lint({**login, "with": {"token": "s3cret"}}), "secret_in_flow", "warning").pointer == "/steps/0/with/token"
    )
    assert lint({**login, "with": {"token": "$.vars.api_token"}}, vars=vars) == []
    address = {"token": "$.vars.api_token", "note": "https://ada:pw@example.com/"}
    assert one(lint({**login, "with": address}, vars=vars), "secret_shown", "warning").pointer == "/steps/0/with/note"


def test_a_problem_that_is_known_without_types_is_said_once(lint: Lint) -> None:
    one(lint(given("$.steps.ordr.body"), schema={"type": "object"}), "unknown_step", "error")


def test_what_is_known_is_told_for_each_step(shops: Registry) -> None:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    steps = [ORDER, {"foreach": "$.body.lines", "id": "each", "steps": [given("$.item.sku", "inner")]}, {"use": "stop"}]
    told = list(step_scopes(compile_flow(encode({"id": "orders", "trigger": trigger, "steps": steps}), shops)))
    assert [one.step for one in told][:3] == ["order", "each", "inner"]
    assert told[2].scope["item"] == "Line {sku: text, price: number}"
    assert told[2].body == "text"
    assert told[1].scope["steps.order"].startswith("{body: Order {id: number, ")
    assert told[3].body is None


def test_every_block_is_gone_through() -> None:
    assert len(_BLOCKS) == len(BLOCKS) + len(USES) + 1


def test_fields_are_known_by_the_names_that_results_have() -> None:
    class Named(BaseModel):
        number: int = Field(serialization_alias="no")
        hidden: int = Field(default=0, exclude=True)

    assert shape_text(from_annotation(Named)) == "Named {no: number}"


def test_the_declared_type_of_the_trigger_has_the_keys_that_expressions_see() -> None:
    declared = trigger_shape(MessageShape())
    assert list(declared.fields) == list(trigger_view(Message(), Arrival("webhook")))
    assert declared.closed
