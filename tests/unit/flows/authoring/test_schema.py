"""The schema that editors get takes what compiles, and marks what doesn't."""

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from hookline.catalog.flow_folder import SCHEMA_FILE, scan
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import GROUP, Registry
from hookline.flows.authoring.editor_schema import flow_schema
from hookline.flows.blocks import USES

FLOWS = Path(__file__).parents[4] / "flows"


@pytest.fixture(scope="module")
def first_party() -> Registry:
    points = entry_points(group=GROUP)
    return load_plugins([point for point in points if point.dist is not None and point.dist.name == "hookline"])


@pytest.fixture(scope="module")
def valid(registry: Registry) -> Callable[[Any], bool]:
    validator: Callable[[Any], bool] = jsonschema_rs.validator_for(json.loads(flow_schema(registry))).is_valid
    return validator


Valid = Callable[[Any], bool]
Flow = Callable[..., dict[str, Any]]


def test_it_is_a_json_schema(registry: Registry) -> None:
    assert jsonschema_rs.meta.is_valid(json.loads(flow_schema(registry)))


def test_the_same_components_give_the_same_text(registry: Registry) -> None:
    assert flow_schema(registry) == flow_schema(registry)


def test_the_shipped_schema_is_that_of_the_first_party_components(first_party: Registry) -> None:
    shipped = (FLOWS / SCHEMA_FILE).read_text(encoding="utf-8")
    assert shipped == flow_schema(first_party), "write it anew: hookline schema --output flows/flow.schema.json"


@pytest.mark.parametrize("path", scan(FLOWS), ids=lambda path: path.stem)
def test_shipped_flows_satisfy_it(first_party: Registry, path: Path) -> None:
    validator = jsonschema_rs.validator_for(json.loads(flow_schema(first_party)))
    assert [str(error) for error in validator.iter_errors(json.loads(path.read_bytes()))] == []


def test_a_typo_in_a_shipped_flow_does_not_satisfy_it(first_party: Registry) -> None:
    validator = jsonschema_rs.validator_for(json.loads(flow_schema(first_party)))
    text = (FLOWS / "paypal-to-accounting.json").read_text(encoding="utf-8")
    assert validator.is_valid(json.loads(text))
    for right, wrong in (
        ('"steps"', '"step"'),
        ('"verify"', '"verfy"'),
        ('"sql.insert"', '"sql.insrt"'),
        ('"table"', '"tabel"'),
        ('"keep"', '"kep"'),
        ('"scheme": "paypal"', '"scheme": "paypall"'),
    ):
        assert right in text
        assert not validator.is_valid(json.loads(text.replace(right, wrong, 1))), wrong


ORDER = {"use": "acme.create_order", "credential": "acme-prod"}


@pytest.mark.parametrize(
    "step",
    [
        {**ORDER, "with": {"sku": "x"}},
        {**ORDER, "with": {"sku": 5, "quantity": "$.body.n", "kind": "{{ body.kind }}", "tags": ["a", "$.body.t"]}},
        {**ORDER, "with": {"sku": {"jsonpath": "$.body.sku", "default": None}, "tags": {"literal": []}}},
        {"use": "stop", "when": "$.body.a", "retry": {"attempts": 2, "wait": "5s"}, "timeout": "1m"},
        {"use": "map", "with": {"body": {"anything": ["$.x", {"a": None}]}}},
        {"foreach": "$.body", "as": "line", "steps": [{"use": "stop"}]},
        {"switch": [{"when": "$.body.a", "steps": []}, {"otherwise": True, "steps": [{"use": "stop"}]}]},
        {"use": "webhook", "with": {"timeout": "2d"}},
        {
            "use": "webhook",
            "with": {"verify": "none", "correlate": {"key": ["$.vars.a", 5], "from": ["$.body.a", "b"]}},
        },
        {"use": "webhook", "when": "$.body.a", "on_error": "continue"},
    ],
)
def test_right_steps_satisfy_it(valid: Valid, flow: Flow, step: dict[str, Any]) -> None:
    assert valid(flow(step))


@pytest.mark.parametrize(
    "step",
    [
        {"use": "acme.create_ordr", "with": {"sku": "x"}},
        {"use": "acme.create_order", "with": {"sku": "x"}},
        {**ORDER},
        {**ORDER, "with": {}},
        {**ORDER, "with": {"sku": "x", "quantity": 0}},
        {**ORDER, "with": {"sku": "x", "quantity": "many"}},
        {**ORDER, "with": {"sku": "x", "kind": "rsh"}},
        {**ORDER, "with": {"sku": "x", "tags": [["a"]]}},
        {**ORDER, "with": {"sku": "x", "colour": "red"}},
        {"use": "stop", "credential": "acme-prod"},
        {"use": "stop", "timeout": 5},
        {"use": "stop", "timeot": "5s"},
        {"use": "stop", "when": "yes"},
        {"use": "webhook", "timeout": "2d"},
        {"use": "webhook", "with": {"methods": ["GET"]}},
        {"use": "webhook", "with": {"correlate": {"key": "$.vars.a"}}},
        {"use": "webhook", "with": {"respond": "reply"}},
        {"foreach": "$.body", "steps": [{"use": "stp"}]},
        {"switch": [{"steps": []}]},
        {"switch": [{"when": True, "steps": [{"use": "stp"}]}]},
        {},
        5,
    ],
)
def test_wrong_steps_do_not(valid: Valid, flow: Flow, step: Any) -> None:
    assert not valid(flow(step))


@pytest.mark.parametrize(
    ("verify", "right"),
    [
        ("none", True),
        ("open", True),
        ({"scheme": "none"}, True),
        ({"scheme": "signed", "credential": "hook", "tolerance": 5}, True),
        ("signed", False),
        ("opn", False),
        ({"scheme": "signed"}, False),
        ({"scheme": "signed", "credential": "hook", "tolerance": -5}, False),
        ({"scheme": "signed", "credential": "hook", "tolrance": 5}, False),
        ({"scheme": "open", "credential": "hook"}, False),
        ({"credential": "hook"}, False),
    ],
)
def test_a_scheme_is_checked_with_its_settings(valid: Valid, flow: Flow, verify: Any, right: bool) -> None:
    assert valid(flow(trigger={"use": "webhook", "with": {"verify": verify}})) is right


@pytest.mark.parametrize("trigger", [{"use": "webhok"}, {"use": "webhook"}, {"use": "webhook", "with": {}}])
def test_wrong_triggers_do_not(valid: Valid, flow: Flow, trigger: Any) -> None:
    assert not valid(flow(trigger=trigger))


def test_every_action_is_offered_with_what_it_does(registry: Registry) -> None:
    offered = json.loads(flow_schema(registry))["$defs"]["ActionStep"]["properties"]["use"]["oneOf"]
    assert [each["const"] for each in offered] == sorted([*registry.actions, *USES])
    assert {"const": "acme.create_order", "description": "Create an order."} in offered
