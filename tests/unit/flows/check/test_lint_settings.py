"""Settings are checked before a flow runs, as far as they are known."""

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError
from tests.unit.flows.check.lint_harness import KEY, Check, one, order

from hookline.flows.documents.model_problems import model_problems


@pytest.mark.parametrize(
    ("settings", "pointer", "remedy"),
    [
        ({"quantity": 0}, "quantity", "at least 1"),
        ({"quantity": "x"}, "quantity", "a whole number"),
        ({"kind": "rsh"}, "kind", "did you mean 'rush'?"),
        ({"tags": "one"}, "tags", "write a list"),
        ({"tags": ["a", None]}, "tags/1", "must be text"),
        ({"sku": {"a": 1}}, "sku", "must be text"),
    ],
)
def test_constant_settings_are_checked_against_the_signature(
    check: Check, settings: dict[str, Any], pointer: str, remedy: str
) -> None:
    problem = one(check(order(**settings)), "invalid_value")
    assert problem.pointer == f"/steps/0/with/{pointer}"
    assert remedy in problem.remedy


def test_an_object_that_is_too_small_is_called_one() -> None:
    class Where(BaseModel):
        where: dict[str, int] = Field(min_length=1)

    with pytest.raises(ValidationError) as raised:
        Where.model_validate({"where": {}})
    (problem,) = model_problems(Where, {"where": {}}, "", raised.value)
    assert (problem.message, problem.remedy) == ("an object is not valid", "it must have at least 1 item")


@pytest.mark.rule(24)
def test_numbers_may_stand_where_text_is_wanted(check: Check) -> None:
    assert not check(order(sku=4711))


def test_a_missing_setting_is_named_with_its_description(check: Check) -> None:
    problem = one(check({"use": "acme.create_order", **KEY}), "missing_key")
    assert "'sku'" in problem.message
    assert problem.remedy == "add it: What is ordered."


def test_a_misspelt_setting_is_one_problem_also_where_it_is_required(check: Check) -> None:
    problem = one(check({"use": "acme.create_order", "with": {"skuu": "$.body.sku"}, **KEY}), "unknown_key")
    assert (problem.pointer, problem.remedy) == ("/steps/0/with/skuu", "did you mean 'sku'?")


def test_all_settings_are_checked_at_once(check: Check) -> None:
    problems = check(order(quantity=-1, kind="x", gift="maybe", colour="red"))
    assert sorted(problem.pointer.rpartition("/")[2] for problem in problems) == ["colour", "gift", "kind", "quantity"]


def test_expressions_are_left_to_the_run_where_their_type_is_not_known(check: Check) -> None:
    assert not check(order(quantity="$.body.n", kind="$.body.kind", tags="$.body.tags"))


@pytest.mark.rule(24)
def test_an_expression_of_a_known_type_is_checked_by_it(check: Check) -> None:
    """An expression's type is checked where it is known."""
    problem = one(check(order(quantity="$.body.lines[*].n")), "wrong_type")
    assert problem.pointer == "/steps/0/with/quantity"
    assert "a list" in problem.message


def test_an_expression_that_reads_only_vars_is_checked_by_its_value(check: Check) -> None:
    assert not check(order(quantity="$.vars.n"), vars={"n": 5})
    assert one(check(order(quantity="$.vars.n"), vars={"n": 0}), "invalid_value").pointer == "/steps/0/with/quantity"


def test_a_literal_is_checked_as_what_it_stands_for(check: Check) -> None:
    assert not check(order(sku={"literal": "$.not.a.path"}))
    one(check(order(quantity={"literal": "$.x"})), "invalid_value")


@pytest.mark.rule(35)
def test_a_setting_that_no_message_may_choose_reads_vars_alone(check: Check) -> None:
    assert not check({"use": "lake.read", "with": {"url": "$.vars.url", "where": "$.body.w"}}, vars={"url": "x"})
    for source in ("$.body.url", "$..url", "$['body', 'vars'].url"):
        assert one(check({"use": "lake.read", "with": {"url": source}}), "not_from_vars").pointer.endswith("/url")
