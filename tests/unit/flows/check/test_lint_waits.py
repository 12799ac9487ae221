"""What is said of steps that wait for calls."""

from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one


def waiting(**settings: Any) -> dict[str, Any]:
    return {"id": "paid", "use": "webhook", "with": settings}


def correlated(key: Any, call: Any) -> dict[str, Any]:
    return waiting(verify="none", correlate={"key": key, "from": call})


def codes(problems: list[Any]) -> list[str]:
    # That nothing verifies who calls is said wherever it is so.
    return [problem.code for problem in problems if problem.code != "not_verified"]


def test_a_step_that_waits_needs_no_settings(check: Check) -> None:
    assert check(waiting()) == []


def test_a_get_never_resumes_so_that_none_can_be_asked_for(check: Check) -> None:
    problem = one(check(waiting(methods=["POST", "GET"])), "invalid_value")
    assert problem.pointer == "/steps/0/with/methods/1"
    assert problem.remedy == "use one of POST, PUT, PATCH"


@pytest.mark.parametrize("key", ["credential", "retry", "timeout", "rate", "delivery"])
def test_what_is_an_actions_is_rejected(check: Check, key: str) -> None:
    value = {"retry": {}, "timeout": "2d", "rate": "5/s", "delivery": "at_most_once"}.get(key, "x")
    problem = one(check({**waiting(), key: value}), "unknown_key")
    assert problem.pointer == f"/steps/0/{key}"


def test_who_is_found_by_a_key_says_how_the_caller_is_verified(check: Check) -> None:
    problem = one(check(waiting(correlate={"key": "$.body.id", "from": "$.body.id"})), "missing_key")
    assert problem.pointer == "/steps/0/with"


def test_a_key_of_several_parts_has_as_many_on_both_sides(check: Check) -> None:
    assert codes(check(correlated(["$.body.a", "$.body.b"], ["$.body.x", "$.body.y"]))) == []
    assert codes(check(correlated(["$.body.a"], ["$.body.x", "$.body.y"]))) == ["invalid_value"]


def test_a_key_that_is_the_same_for_all_is_noticed_on_either_side(check: Check) -> None:
    assert codes(check(correlated("a", "$.body.x"))) == ["constant_key"]
    assert codes(check(correlated("$.body.a", "x"))) == ["constant_key"]


def test_a_call_knows_of_no_step(check: Check) -> None:
    assert codes(check(correlated("$.body.a", "$.steps.paid.body"))) == ["out_of_scope"]


@pytest.mark.rule(29)
def test_a_path_that_a_step_takes_from_the_trigger_is_named_once(check: Check) -> None:
    reads = {"use": "map", "with": {"body": ["$.trigger.path", "{{ trigger.path }}"]}}
    problems = [problem for problem in check(correlated("$.body.a", "$.body.a"), reads) if problem.code == "path_taken"]
    assert [(problem.pointer, problem.severity) for problem in problems] == [("/steps/0/with/correlate", "warning")]
    assert codes(check(correlated("$.body.a", "$.body.a"))) == [], "no expression asks for paths"
    assert codes(check(waiting(), reads)) == [], "its URL is a token"


def paged(**page: Any) -> dict[str, Any]:
    return waiting(page=page)


@pytest.mark.rule(52)
def test_a_page_is_checked_at_its_places(check: Check) -> None:
    fields = {
        "amount": {"type": "number", "default": "much"},
        "team": {"type": "enum"},
        "due": {"type": "date", "min": 1},
        "note": {"type": "text", "label": ["x"], "help": "$.body.nothing["},
    }
    problems = check(paged(title="x", colour="red", fields=fields, choices=[{"label": "Go", "body": 1}, {"body": {}}]))
    assert {(problem.pointer.removeprefix("/steps/0/with/page"), problem.code) for problem in problems} >= {
        ("/colour", "unknown_key"),
        ("/fields/team", "invalid_value"),
        ("/fields/due", "invalid_value"),
        ("/choices/1", "missing_key"),
    }
    del fields["team"], fields["due"]
    problems = check(paged(fields=fields, choices=[{"label": "Go", "body": 1}]))
    assert {(problem.pointer.removeprefix("/steps/0/with/page"), problem.code) for problem in problems} == {
        ("/fields/amount/default", "page_value"),
        ("/fields/note/label", "page_value"),
        ("/fields/note/help", "expression.syntax"),
        ("/choices/0/body", "page_value"),
    }


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"methods": ["PUT"]}, "/methods"),
        ({"media_types": ["application/json"]}, "/media_types"),
        ({"body": "json"}, "/body"),
        ({"verify": "none", "correlate": {"key": "$.body.id", "from": "$.body.id"}}, "/correlate"),
    ],
)
def test_a_page_whose_form_would_be_rejected_is_a_problem(check: Check, settings: dict[str, Any], pointer: str) -> None:
    problems = check(waiting(page={}, **settings))
    assert codes(problems) == ["page_unusable"]
    assert pointer in {problem.pointer.removeprefix("/steps/0/with") for problem in problems}


def test_the_next_step_knows_what_a_page_gives(check: Check) -> None:
    page = paged(
        fields={"amount": {"type": "number", "required": True}, "note": {"type": "text"}},
        choices=[{"label": "Yes", "body": {"ok": True}}, {"label": "No", "body": {"ok": False, "why": "no"}}],
    )
    keep = {"id": "keep", "use": "filter", "with": {"keep": "$.body.ok"}}
    assert check(page, keep, {"use": "map", "with": {"body": {"sum": "$.body.amount", "note": "$.body.note"}}}) == []
    problem = one(check(page, {"use": "map", "with": {"body": "$.body.amunt"}}), "no_such_key")
    assert "did you mean" in problem.remedy
