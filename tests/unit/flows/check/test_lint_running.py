"""What is wrong with how often a step runs, and with the flows that it calls."""

from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one, order

from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.flows.elements.outside_references import KnownFlow
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode


def call(**settings: Any) -> dict[str, Any]:
    return {"id": "call", "use": "flow", "with": {"id": "invoices", **settings}}


def test_what_runs_at_most_once_is_not_tried_again(check: Check) -> None:
    problem = one(check({**order(), "delivery": "at_most_once", "retry": {"attempts": 2}}), "retry_at_most_once")
    assert problem.pointer == "/steps/0/retry"


@pytest.mark.parametrize(("key", "value"), [("rate", "5/s"), ("delivery", "at_most_once")])
def test_a_step_without_effects_has_no_use_for_it(check: Check, key: str, value: str) -> None:
    step = {"use": "map", "with": {"body": 1}, key: value}
    problem = one(check(step), "without_effect")
    assert (problem.pointer, problem.severity) == (f"/steps/0/{key}", "warning")


def test_a_rate_is_a_count_for_a_time(check: Check) -> None:
    problem = one(check({**order(), "rate": "5 per second"}), "invalid_value")
    assert "10/s" in problem.remedy


@pytest.mark.parametrize("code", ["http 503", "*", "http*", "http.*.x", ""])
def test_a_retry_names_codes(check: Check, code: str) -> None:
    problem = one(check({**order(), "retry": {"on": [code]}}), "invalid_value")
    assert problem.pointer == "/steps/0/retry/on/0"
    assert "http.*" in problem.remedy


def test_jitter_is_a_part(check: Check) -> None:
    assert one(check({**order(), "retry": {"jitter": 2}}), "invalid_value").pointer == "/steps/0/retry/jitter"


def test_a_step_that_calls_a_flow_is_right(check: Check) -> None:
    assert check({**call(body={"n": "$.body.n"}, headers={"x": "$.body.m"}), "timeout": "1h", "retry": {}}) == []
    assert check({**call(wait=False), "on_error": "continue", "when": "{{ body.a == 1 }}"}) == []


@pytest.mark.parametrize("key", ["credential", "rate", "delivery"])
def test_keys_that_a_call_does_not_take(check: Check, key: str) -> None:
    value = {"credential": "x", "rate": "1/s", "delivery": "at_most_once"}[key]
    assert one(check({**call(), key: value}), "unknown_key").pointer == f"/steps/0/{key}"


@pytest.mark.parametrize(("key", "value"), [("timeout", "1h"), ("retry", {})])
def test_what_does_not_wait_takes_no_time_and_is_not_tried_again(check: Check, key: str, value: Any) -> None:
    assert one(check({**call(wait=False), key: value}), "unknown_key").pointer == f"/steps/0/{key}"


def test_settings_of_a_call(check: Check) -> None:
    assert one(check({"use": "flow", "with": {}}), "missing_key").pointer == "/steps/0/with"
    assert one(check(call(idd="x")), "unknown_key").pointer == "/steps/0/with/idd"
    assert one(check(call(wait="yes")), "invalid_value").pointer == "/steps/0/with/wait"
    assert one(check(call(headers=[1])), "wrong_type").pointer == "/steps/0/with/headers"
    assert one(check(call(body="$.steps.cal.body")), "unknown_step").pointer == "/steps/0/with/body"
    chosen = one(check({"use": "flow", "with": {"id": "$.body.flow"}}), "invalid_value")
    assert (chosen.pointer, "lower-case letters" in chosen.remedy) == ("/steps/0/with/id", True)
    assert one(check({**call(), "timeout": "0s"}), "invalid_value").pointer == "/steps/0/timeout"


def among(registry: Registry, flows: set[str] | None, *steps: Any, **more: Any) -> list[Problem]:
    document = {
        "id": "orders",
        "trigger": {"use": "webhook", "with": {"verify": {"scheme": "signed", "credential": "hook"}}},
        "steps": list(steps),
        **more,
    }
    known = None if flows is None else dict.fromkeys(flows, KnownFlow())
    return check_flow(encode(document), registry, flows=known, file="orders.json").problems


def test_a_flow_that_is_not_there_is_named_with_the_nearest_that_is(registry: Registry) -> None:
    inner = {"id": "each", "foreach": "$.body", "steps": [call()]}
    problem = one(among(registry, {"orders", "invoice"}, inner), "unknown_flow")
    assert (problem.pointer, problem.line) == ("/steps/0/steps/0/with/id", 1)
    assert "'invoice'" in problem.remedy
    assert among(registry, {"orders", "invoices"}, inner) == []


def test_the_flow_for_failures_has_to_be_there(registry: Registry) -> None:
    problem = one(among(registry, {"orders", "care"}, on_error="cares"), "unknown_flow")
    assert (problem.pointer, "'care'" in problem.remedy) == ("/on_error", True)
    assert among(registry, {"orders", "care"}, on_error="care") == []


def test_where_the_other_flows_are_not_known_nothing_is_said_of_them(registry: Registry) -> None:
    assert among(registry, None, call(), on_error="care") == []


@pytest.mark.parametrize("text", ["[null, null]", "5", '"id"', "null", '{"id": 5}', '{"id": null}'])
def test_what_has_no_id_is_a_problem_among_credentials_and_flows(registry: Registry, text: str) -> None:
    found = check_flow(text.encode(), registry, {}, flows={"orders": KnownFlow()}, unverified=("orders",)).problems
    assert {problem.severity for problem in found} == {"error"}
