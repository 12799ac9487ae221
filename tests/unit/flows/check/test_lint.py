"""Every problem of a flow is reported at once, each with its file, line, JSON pointer and remedy."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one, order

from hookline.catalog.flow_folder import scan
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import GROUP, Registry
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.json import encode
from hookline.secrets.credential_reach import KnownCredential

SIX = b"""{
  "id": "orders",
  "titel": "Orders",
  "trigger": {"use": "webhook", "with": {"verify": {"scheme": "signd", "credential": "hook"}}},
  "steps": [
    {"id": "paid", "use": "filtr", "with": {"keep": true}},
    {"id": "book", "use": "acme.create_order", "credential": "acme-prod",
     "with": {"sku": "x",
              "quantity": "many"}},
    {"id": "tell", "use": "log", "with": {"message": "$.steps.bok.body"}},
    {"id": "tell", "use": "stop"}
  ]
}"""


def test_six_problems_are_six_problems_each_with_its_place_and_remedy(registry: Registry) -> None:
    problems = check_flow(
        SIX, registry, {"hook": KnownCredential("signed"), "acme-prod": KnownCredential("acme")}, file="orders.json"
    ).problems
    assert [(problem.line, problem.pointer, problem.code) for problem in problems] == [
        (3, "/titel", "unknown_key"),
        (4, "/trigger/with/verify/scheme", "unknown_scheme"),
        (6, "/steps/0/use", "unknown_action"),
        (9, "/steps/1/with/quantity", "invalid_value"),
        (10, "/steps/2/with/message", "unknown_step"),
        (11, "/steps/3/id", "duplicate_id"),
    ]
    assert all(problem.file == "orders.json" and problem.remedy for problem in problems)
    assert [problem.remedy for problem in problems][:3] == [
        "did you mean 'title'?",
        "did you mean 'signed'?",
        "did you mean 'filter'?",
    ]


def test_a_right_flow_has_no_problems(check: Check) -> None:
    assert not check(
        {"use": "filter", "with": {"keep": "$.body.paid"}},
        {"id": "each", "foreach": "$.body.lines", "as": "line", "steps": [order(sku="$.line.sku", quantity="$.index")]},
        {"use": "log", "with": {"message": "$.steps.each.body", "fields": {"n": "$.vars.n"}}},
        vars={"n": 1},
        credentials={"hook": "signed", "acme-prod": "acme"},
    )


def test_what_is_not_json_is_one_problem(registry: Registry) -> None:
    assert [problem.code for problem in check_flow(b"{", registry).problems] == ["syntax"]


@pytest.mark.parametrize("document", [b"[]", b"null", b"5", b'"x"'])
def test_a_flow_is_an_object(registry: Registry, document: bytes) -> None:
    problems = check_flow(document, registry).problems
    assert [(problem.pointer, problem.code) for problem in problems] == [("", "invalid_value")]


def test_an_unknown_trigger_is_named_with_what_was_meant(check: Check) -> None:
    problem = one(check(trigger={"use": "webhok", "with": {}}), "unknown_trigger")
    assert (problem.pointer, problem.remedy) == ("/trigger/use", "did you mean 'webhook'?")


def test_a_name_of_a_plugin_that_failed_to_load_is_reported_with_its_error(
    broken_registry: Registry, flow: Callable[..., Any]
) -> None:
    document = flow(order(), trigger={"use": "webhook", "with": {"verify": "none"}})
    problem = check_flow(encode(document), broken_registry).problems[-1]
    assert problem.code == "plugin_failed"
    assert "'acme' (acme-plugin 1.2) failed to load: ImportError: no licence" in problem.message


def test_what_no_name_is_like_leads_to_the_list_of_components(check: Check) -> None:
    assert "hookline components" in one(check({"use": "xyzzy.plugh"}), "unknown_action").remedy


@pytest.mark.rule(24)
def test_an_action_that_is_unavailable_says_why_and_what_to_do(check: Check) -> None:
    assert one(check({"use": "gone.away"}), "unavailable").remedy == "pip install 'hookline[gone]'"


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    ("step", "pointer", "code", "remedy"),
    [
        ({"id": "A-b", "use": "stop"}, "/steps/0/id", "invalid_value", "lower-case letters, digits and underscores"),
        ({"use": "stop", "timeot": "3s"}, "/steps/0/timeot", "unknown_key", "did you mean 'timeout'?"),
        ({"use": "stop", "timeout": "0s"}, "/steps/0/timeout", "invalid_value", "a longer time"),
        ({"use": "stop", "timeout": 5}, "/steps/0/timeout", "invalid_value", "a number and a unit"),
        ({"use": "stop", "retry": {"wat": "1s"}}, "/steps/0/retry/wat", "unknown_key", "did you mean 'wait'?"),
        ({"use": "stop", "on_error": "contine"}, "/steps/0/on_error", "invalid_value", "did you mean 'continue'?"),
        ({"usee": "stop"}, "/steps/0/usee", "unknown_key", "did you mean 'use'?"),
        ({"foreachh": "$.body", "steps": [{"use": "stop"}]}, "/steps/0", "missing_key", "did you mean 'foreach'?"),
        ({}, "/steps/0", "missing_key", 'add "use" with the name of an action'),
        (5, "/steps/0", "invalid_value", "write an object"),
        ({"switch": []}, "/steps/0/switch", "invalid_value", "at least 1"),
        ({"switch": [{"when": True, "step": []}]}, "/steps/0/switch/0/step", "unknown_key", "did you mean 'steps'?"),
        ({"switch": [{"when": True, "steps": []}], "mach": 1}, "/steps/0/mach", "unknown_key", "did you mean 'match'?"),
        ({"foreach": "$.body", "steps": [{"use": "stop"}], "concurency": 2}, "/steps/0/concurency", "unknown_key", "?"),
        ({"foreach": "$.body", "steps": [5]}, "/steps/0/steps/0", "invalid_value", "write an object"),
        ({"parallel": {"a": [{"swich": []}]}}, "/steps/0/parallel/a/0", "missing_key", "did you mean 'switch'?"),
        ({"try": [{}], "catch": []}, "/steps/0/try/0", "missing_key", 'add "use" with the name of an action'),
        (
            {"parallel": {"retry": [{"use": "stop", "wiht": {}}]}},
            "/steps/0/parallel/retry/0/wiht",
            "unknown_key",
            "did you mean 'with'?",
        ),
        (
            {"parallel": {"foreach": [{"foreach": "$.body", "steps": [{"use": "stop"}], "as": "A"}]}},
            "/steps/0/parallel/foreach/0/as",
            "invalid_value",
            "beginning with a letter",
        ),
        ({"use": "stop", "ActionStep": {"use": 1}}, "/steps/0/ActionStep", "unknown_key", "the keys here are"),
    ],
)
def test_a_wrong_form_is_one_problem_in_plain_words(
    check: Check, step: Any, pointer: str, code: str, remedy: str
) -> None:
    problem = one(check(step), code)
    assert problem.pointer == pointer
    assert remedy in problem.remedy


def test_a_mapper_that_is_not_installed_is_a_problem(check: Check) -> None:
    assert one(check(mappers=["jsonpth"]), "unknown_mapper").remedy == "did you mean 'jsonpath'?"


def test_a_bad_schema_of_the_body_is_a_problem(check: Check) -> None:
    assert check(schema={"type": "objekt"})[0].pointer.startswith("/schema")


def test_repeated_keys_are_problems(registry: Registry) -> None:
    text = b'{"id": "a", "id": "b", "trigger": {"use": "webhook", "with": {"verify": "open"}}, "steps": []}'
    assert [problem.code for problem in check_flow(text, registry).problems] == ["duplicate_key"]


@pytest.mark.parametrize("path", scan(Path(__file__).parents[4] / "flows"), ids=lambda path: path.stem)
def test_shipped_flows_have_no_errors(path: Path) -> None:
    points = [point for point in entry_points(group=GROUP) if point.dist is not None and point.dist.name == "hookline"]
    problems = check_flow(path.read_bytes(), load_plugins(points), file=path.name).problems
    assert [problem for problem in problems if problem.severity == "error"] == []
