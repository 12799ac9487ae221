"""Fixes: applying one removes its problem, and makes no other."""

import copy
import json
from typing import Any

import pytest
from tests.unit.flows.check.problem_examples import EXAMPLES, ProblemExample
from tests.unit.flows.check.test_seeded_problems import document, problems, registry

from hookline.flows.check.check_flow import check_flow
from hookline.flows.check.fixes import with_fixes
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import Patch, adding, parts_of, value_at


def patched(document: Any, patches: tuple[Patch, ...]) -> Any:
    """A copy of a document with a JSON Patch applied."""
    made = copy.deepcopy(document)
    for patch in patches:
        parent, last = value_at(made, patch.path.rpartition("/")[0]), parts_of(patch.path)[-1]
        if patch.op == "remove":
            del parent[int(last) if isinstance(parent, list) else last]
        elif patch.op == "move":
            assert isinstance(patch.from_, str)
            parent[last] = parent.pop(parts_of(patch.from_)[-1])
        elif patch.op == "add" and isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else int(last), patch.value)
        else:
            parent[int(last) if isinstance(parent, list) else last] = patch.value
    return made


def fixes(flow: Any) -> tuple[Patch, ...]:
    found = check_flow(json.dumps(flow).encode(), registry()).problems
    return next(one for one in found if one.code != "not_verified").fix


def a_flow(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"id": "a", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": list(steps)} | more


@pytest.mark.parametrize(
    ("flow", "fix"),
    [
        (
            a_flow({"use": "log", "wiht": {"message": "x"}}),
            Patch("move", "/steps/0/with", from_="/steps/0/wiht"),
        ),
        (a_flow({"use": "lgo", "with": {"message": "x"}}), Patch("replace", "/steps/0/use", value="log")),
        (
            a_flow({"use": "log", "with": {"mesage": "x"}}),
            Patch("move", "/steps/0/with/message", from_="/steps/0/with/mesage"),
        ),
        (
            a_flow({"use": "log", "with": {"message": "{{ vars.nam }} {{ vars.name }}"}}, vars={"name": "x"}),
            Patch("replace", "/steps/0/with/message", value="{{ vars.name }} {{ vars.name }}"),
        ),
        (
            a_flow(
                {"id": "order", "use": "map", "with": {"body": 1}},
                {"use": "log", "with": {"message": "$.steps.oder.body"}},
            ),
            Patch("replace", "/steps/1/with/message", value="$.steps.order.body"),
        ),
        (
            a_flow({"use": "log", "with": {"message": "hello $.body.name"}}),
            Patch("replace", "/steps/0/with/message", value="hello {{ body.name }}"),
        ),
    ],
)
def test_a_remedy_that_says_what_to_write_is_a_patch(flow: Any, fix: Patch) -> None:
    assert fixes(flow) == (fix,)
    after = check_flow(json.dumps(patched(flow, (fix,))).encode(), registry()).problems
    assert [one.code for one in after if one.code != "not_verified"] == []


def test_an_expression_is_corrected_and_not_the_setting_of_the_same_name() -> None:
    flow = a_flow(
        {"id": "order", "use": "map", "with": {"body": 1}},
        {"use": "map", "with": {"body": {"order": "{{ order.body }}"}}},
    )
    assert fixes(flow) == (Patch("replace", "/steps/1/with/body/order", value="{{ steps.order.body }}"),)


@pytest.mark.parametrize("retry", [{"attempts": 5}, {"wait": "2s"}, None])
def test_a_step_that_is_not_safe_to_repeat_is_tried_once_whatever_its_retry_says(retry: Any) -> None:
    flow = document("paypal-to-accounting")
    flow["steps"][2]["with"]["once"] = False
    flow["steps"][2].pop("retry")
    if retry is not None:
        flow["steps"][2]["retry"] = retry
    (problem,) = problems("paypal-to-accounting", flow)
    assert problem.code == "unsafe_retry"
    assert problems("paypal-to-accounting", patched(flow, problem.fix)) == []


def test_only_durations_get_a_unit() -> None:
    trigger = {"use": "webhook", "with": {"verify": "none", "allow_from": ["10"]}}
    assert fixes(a_flow(trigger=trigger)) == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_fix_of_a_problem_removes_it(example: ProblemExample) -> None:
    (problem,) = found(example, example.flow)
    assert (problem.code, problem.pointer) == (example.code, example.pointer)
    assert problem.remedy
    assert bool(problem.fix) == example.fixed, problem
    if problem.fix:
        left = [(one.code, one.pointer, one.message) for one in found(example, patched(example.flow, problem.fix))]
        assert (problem.code, problem.pointer, problem.message) not in left


def test_most_problems_have_a_fix() -> None:
    assert (len(EXAMPLES), sum(example.fixed for example in EXAMPLES)) == (84, 71)


def found(example: ProblemExample, flow: Any) -> list[Problem]:
    """The problems of the flow of an example, as it is or fixed."""
    if example.ships:
        return problems(example.flow["id"], flow)
    return found_in(flow)


def found_in(flow: Any) -> list[Problem]:
    return [one for one in check_flow(json.dumps(flow).encode(), registry()).problems if one.code != "not_verified"]


@pytest.mark.parametrize(
    ("problem", "value"),
    [
        (Problem("no key", "/wiht", "unknown_key", unknown="wiht", similar="with"), {"wiht": 1, "with": 2}),
        (Problem("no step", "/x", "unknown_step", unknown="steps.a", similar="steps.b"), {"x": "{{ a }} {{ a.a }}"}),
        (Problem("no step", "/x", "unknown_step", unknown="steps.a", similar="steps.b"), {"x": ["steps.a"]}),
        (Problem("no step", "/y", "unknown_step", unknown="steps.a", similar="steps.b"), {"x": "steps.a"}),
        (Problem("it is wrong", "/x", "invalid_value", "use another one"), {"x": "a"}),
        (Problem("it is no JSON", "", "syntax"), None),
    ],
)
def test_a_problem_whose_remedy_is_not_exact_has_no_fix(problem: Problem, value: Any) -> None:
    (same,) = with_fixes([problem], value)
    assert same.fix == ()


def test_a_path_is_corrected_wherever_it_stands_and_nothing_else_is() -> None:
    problem = Problem("no var", "/x", "unknown_var", unknown="vars.nam", similar="vars.name")
    text = "{{ vars.nam }} {{ vars.named }} {{ body.vars.nam }} {{ vars.nam | upper }}"
    (fixed,) = with_fixes([problem], {"x": text})
    assert fixed.fix[0].value == "{{ vars.name }} {{ vars.named }} {{ body.vars.nam }} {{ vars.name | upper }}"


def test_a_value_is_added_with_what_must_be_around_it() -> None:
    problem = Problem("no var", "/x", "unknown_var", fix=adding("/vars/name", ""))
    assert with_fixes([problem], {"x": 1})[0].fix == adding("/vars", {"name": ""})
    assert with_fixes([problem], {"vars": {}})[0].fix == adding("/vars/name", "")
    listed = Problem("not listed", "/x", "mapper_not_listed", fix=adding("/mappers/-", "jsonata"))
    assert with_fixes([listed], {})[0].fix == adding("/mappers", ["jsonata"])
