"""An expression names only what is in scope where it stands."""

from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one


def test_a_bad_expression_is_a_problem_at_its_place(check: Check) -> None:
    problem = one(check({"use": "map", "with": {"body": {"a": ["$.body["]}}}), "expression.syntax")
    assert problem.pointer == "/steps/0/with/body/a/0"


def tell(source: Any, **more: Any) -> dict[str, Any]:
    return {"use": "map", "with": {"body": source}, **more}


@pytest.mark.parametrize(
    ("steps", "code", "words"),
    [
        ([tell("$.bdy.x")], "unknown_name", "did you mean 'body'?"),
        ([tell("$.order.body"), {"id": "order", "use": "stop"}], "unknown_name", "did you mean 'steps.order'?"),
        ([tell("$.ledger")], "unknown_name", "did you mean 'vars.ledger'?"),
        ([tell("$.vars.leger")], "unknown_var", "did you mean 'ledger'?"),
        ([tell("$.steps.x.body")], "unknown_step", "no step comes before this one"),
        ([tell(1, id="first"), tell("$.steps.frist.body")], "unknown_step", "did you mean 'first'?"),
        ([tell("$.steps.last.body"), tell(1, id="last")], "step_later", "move it up"),
        ([tell("$.steps.me.body", id="me")], "step_later", "an earlier step"),
        ([tell("$.item.sku")], "out_of_scope", "into the foreach"),
        ([tell("$.index")], "out_of_scope", "into the foreach"),
        ([tell("$.error.code")], "out_of_scope", "steps.<id>.error"),
        ([{"foreach": "$.body", "as": "line", "steps": [tell("$.item")]}], "out_of_scope", "into the foreach"),
        ([{"foreach": "$.body", "steps": [tell(1, id="in")]}, tell("$.steps.in")], "step_out_of_scope", "block's id"),
        ([{"foreach": "$.item", "steps": [tell(1)]}], "out_of_scope", "into the foreach"),
        ([{"foreach": "$.body", "as": "vars", "steps": [tell(1)]}], "reserved_name", "another"),
        ([{"foreach": {"a": 1}, "steps": [tell(1)]}], "wrong_type", "$.body.lines"),
        ([tell(1, when="$.steps.x.body")], "unknown_step", "no step comes before"),
        ([tell(1, when="yes")], "expression.condition", "true or false"),
    ],
)
def test_an_expression_names_only_what_is_in_scope(
    check: Check, steps: list[dict[str, Any]], code: str, words: str
) -> None:
    assert words in one(check(*steps, vars={"ledger": 1}), code).remedy


def test_what_is_in_scope_is_no_problem(check: Check) -> None:
    assert not check(
        tell(["$", "$.body.a", "$.headers.x", "$.attachments[0]", "$.trigger.method", "$.execution.id"], id="a"),
        {
            "foreach": "$.steps.a.body",
            "steps": [
                tell(["$.item", "$.index", "$.steps.a"], id="b"),
                {"foreach": "$.item", "as": "inner", "steps": [tell(["$.inner", "$.item", "$.steps.b"])]},
            ],
        },
        {"id": "c", "use": "log", "with": {"message": "x"}},
        tell("$.steps.foreach.body"),
    )


def switch(*cases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "choose", "switch": list(cases), **more}


def test_a_step_in_a_case_may_not_have_run_afterwards(check: Check) -> None:
    block = switch({"when": "$.body.a", "steps": [tell(1, id="inner")]})
    problem = one(check(block, tell("$.steps.inner.body")), "step_may_not_run")
    assert problem.severity == "warning"
    assert not check(block, tell({"jsonpath": "$.steps.inner.body", "default": None}))
    assert not check(block, tell("$.steps.choose.body"))


def test_of_two_cases_one_does_not_see_the_other_unless_both_can_run(check: Check) -> None:
    cases = (
        {"when": "$.body.a", "steps": [tell(1, id="inner")]},
        {"otherwise": True, "steps": [tell("$.steps.inner.body")]},
    )
    one(check(switch(*cases)), "step_out_of_scope")
    assert one(check(switch(*cases, match="all")), "step_may_not_run").severity == "warning"


@pytest.mark.parametrize(
    "cases",
    [
        [{"steps": []}],
        [{"when": "$.body.a", "otherwise": True, "steps": []}],
        [{"otherwise": True, "steps": []}, {"otherwise": True, "steps": []}],
    ],
)
def test_a_case_says_when_or_otherwise_and_otherwise_stands_once(check: Check, cases: list[dict[str, Any]]) -> None:
    one(check(switch(*cases)), "invalid_case")


def test_ids_are_unique_in_blocks_too(check: Check) -> None:
    block = switch({"otherwise": True, "steps": [tell(1, id="a")]})
    problem = one(check(tell(1, id="a"), block), "duplicate_id")
    assert problem.pointer == "/steps/1/switch/0/steps/0/id"
    assert "/steps/0" in problem.message


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (tell("{{ bdy.x }}"), "unknown_name"),
        (tell("{{ steps.later.body }}"), "unknown_step"),
        (tell("{{ vars.leger }}"), "unknown_var"),
        (tell("{% if body.a %}x"), "expression.syntax"),
        ({"use": "filter", "with": {"keep": "{{ body.a }} and {{ body.b }}"}}, "wrong_type"),
        ({"use": "lake.read", "with": {"url": "sqlite:///{{ body.file }}"}}, "not_from_vars"),
    ],
)
def test_jinja_is_checked_like_jsonpath(check: Check, step: dict[str, Any], code: str) -> None:
    one(check(step, vars={"ledger": 1}), code)


def test_a_default_says_that_a_step_may_not_have_run(check: Check) -> None:
    block = switch({"when": "$.body.a", "steps": [tell(1, id="inner")]})
    assert not check(block, tell("{{ steps.inner | default(none) }}"))
