"""The types of a flow stay small, and the work of the checker grows with the steps."""

from typing import Any

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.flows.check.type_analysis import analyse_flow
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.types.earlier_results import NO_STEPS
from hookline.flows.types.shape import NULL, NUMBER, TEXT, Field
from hookline.kernel.json import encode
from hookline.kernel.suggestions_and_counts import did_you_mean, listed


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@pytest.mark.parametrize(
    "body",
    [{"a": "$.body"}, {"a": "$.body", "b": "$.body"}, ["$.body", "$.body"], {"all": "$.steps"}],
    ids=["deeper", "doubled", "listed", "all steps"],
)
def test_a_value_that_grows_from_step_to_step_has_a_bounded_type(registry: Registry, body: Any) -> None:
    steps = [{"id": f"s{number}", "use": "map", "with": {"body": body}} for number in range(400)]
    steps.append({"id": "last", "use": "map", "with": {"body": "$.steps.s0.none"}})
    flow = {"id": "growing", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}
    visits = analyse_flow(compile_flow(encode(flow), registry)).visits
    assert len(visits) == 401
    assert max(visit.scope.message.body.weight for visit in visits) <= 200_000
    # What is known of the first steps stays known.
    assert visits[-1].scope.steps["s0"].shape == visits[1].scope.steps["s0"].shape


def test_known_steps_share_what_comes_before_them() -> None:
    known, made = NO_STEPS, []
    for number in range(300):
        known = known.adding(f"s{number}", Field(TEXT))
        made.append(known)
    again = made[99].adding("s5", Field(NUMBER)).adding("new", Field(NULL, required=False))
    assert [len(one) for one in made] == list(range(1, 301))
    assert list(made[99]) == [f"s{number}" for number in range(100)]
    assert (made[99]["s5"].shape, again["s5"].shape, len(again)) == (TEXT, NUMBER, 101)
    assert list(again) == [*made[99], "new"]
    assert again.since(made[99]) == {"new": Field(NULL, required=False)}
    assert list(made[299].since(made[199])) == [f"s{number}" for number in range(200, 300)]
    assert "s300" not in made[299]


def test_a_name_is_searched_among_few_and_short_ones_only() -> None:
    many = [f"step-{number}" for number in range(1000)]
    assert did_you_mean("step-5x", many[:10], "no") == "did you mean 'step-5'?"
    assert did_you_mean("step-5x", many, "no") == "no"
    assert did_you_mean("x" * 100_000 + "y", ["x" * 100_000], "no") == "no"
    assert (listed("the steps are", many[:2]), listed("the steps are", many)) == (
        "the steps are step-0, step-1",
        "there are 1,000 names",
    )


def test_many_wrong_names_in_a_large_flow_are_all_reported(registry: Registry) -> None:
    steps = [{"id": f"s{number}", "use": "map", "with": {"body": f"$.steps.x{number}"}} for number in range(600)]
    flow = {"id": "wrong", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}
    problems = [one for one in check_flow(encode(flow), registry).problems if one.code == "unknown_step"]
    assert len(problems) == 600
    assert (problems[0].remedy, problems[-1].remedy) == ("no step comes before this one", "there are 599 names")
    assert "s0, s1" in problems[2].remedy or "did you mean" in problems[2].remedy
