"""Which language a string is in, and nested settings compiled whole."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.flows.elements.expressions import Expressions, Template
from hookline.kernel.errors import ExpressionFailed, ExpressionLimit, ExpressionSyntax, MissingValue
from hookline.sdk.mappers import Expression, Mapper, Reference, Scope
from hookline_mapping.jinja.mapper import Jinja
from hookline_mapping.jsonpath.mapper import JsonPath

SCOPE: dict[str, Any] = {
    "body": {"id": "A-1", "total": 12, "paid": True, "text": "false", "note": "{{ not read }}", "lines": [{"n": 1}]},
    "steps": {},
    "vars": {"a/b": 1},
}


class Shout(Expression):
    gives = str

    def __init__(self, source: str) -> None:
        self.source = source

    def evaluate(self, scope: Scope) -> str:
        return self.source.upper()


class Shouting(Mapper):
    name = "shout"

    def compile(self, source: str) -> Expression:
        return Shout(source)


class Broken(Expression):
    source = "boom"

    def evaluate(self, scope: Scope) -> Any:
        raise ZeroDivisionError("no")


class Breaking(Mapper):
    name = "break"

    def compile(self, source: str) -> Expression:
        if source == "compile":
            raise ZeroDivisionError("no")
        return Broken()


MAPPERS: Mapping[str, Mapper] = {
    "jsonpath": JsonPath(),
    "jinja": Jinja(),
    "shout": Shouting(),
    "break": Breaking(),
}
EXPRESSIONS = Expressions(MAPPERS)


def compiled(value: Any, expressions: Expressions = EXPRESSIONS) -> Template:
    template, problems = expressions.template(value)
    assert problems == []
    return template


def value_of(value: Any, expressions: Expressions = EXPRESSIONS) -> Any:
    return compiled(value, expressions).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$", SCOPE),
        ("$.body.id", "A-1"),
        ("$['body'].id", "A-1"),
        ("{{ body.total }}", 12),
        ("{% if body.paid %}yes{% endif %}", "yes"),
        ("$5", "$5"),
        ("$body.id", "$body.id"),
        ("costs $.5", "costs $.5"),
        ("plain { text }", "plain { text }"),
        ("", ""),
    ],
)
def test_the_beginning_of_a_string_says_its_language(text: str, expected: Any) -> None:
    assert value_of(text) == expected


def test_values_that_hold_expressions_are_not_evaluated_again() -> None:
    assert value_of("$.body.note") == "{{ not read }}"


@pytest.mark.rule(18)
def test_single_keys_name_the_language_or_escape() -> None:
    assert value_of({"literal": "$.body.id"}) == "$.body.id"
    assert value_of({"literal": {"a": "{{ x }}"}}) == {"a": "{{ x }}"}
    assert value_of({"jsonpath": "body.id"}) == "A-1"
    assert value_of({"jinja": "just text"}) == "just text"
    assert value_of({"literal": 1, "other": "$.body.total"}) == {"literal": 1, "other": 12}


@pytest.mark.rule(18)
def test_other_mappers_count_only_in_flows_that_list_them() -> None:
    assert value_of({"shout": "hey"}) == {"shout": "hey"}
    assert value_of({"shout": "hey"}, Expressions(MAPPERS, ["shout"])) == "HEY"
    assert value_of({"shout": "hey", "loud": True}, Expressions(MAPPERS, ["shout"])) == {"shout": "hey", "loud": True}


def test_a_listed_mapper_that_is_not_installed_is_a_problem_with_a_remedy() -> None:
    template, problems = Expressions(MAPPERS, ["jsonata"]).template({"a": {"jsonata": "x"}}, "/steps/0/with")
    (problem,) = problems
    assert problem.pointer == "/steps/0/with/a/jsonata"
    assert problem.code == "expression.mapper"
    assert "install the plugin that has the mapper 'jsonata'" in problem.remedy
    with pytest.raises(ExpressionSyntax):
        template.evaluate(SCOPE)


def test_a_default_stands_in_for_what_is_missing_and_only_for_that() -> None:
    assert value_of({"jsonpath": "$.body.gone", "default": None}) is None
    assert value_of({"jsonpath": "$.body.id", "default": None}) == "A-1"
    assert value_of({"jinja": "{{ body.gone.deep }}", "default": "$.body.total"}) == 12
    with pytest.raises(ExpressionFailed):
        value_of({"jinja": "{{ body.total / 0 }}", "default": 1})


def test_a_default_makes_references_optional() -> None:
    template = compiled({"jsonpath": "$.steps.a.body", "default": "$.body.id"})
    assert template.references == (
        Reference(("steps", "a", "body"), optional=True),
        Reference(("body", "id")),
    )


def test_a_reserved_key_wants_text() -> None:
    _, (problem,) = EXPRESSIONS.template({"a": {"jinja": 5}})
    assert problem.pointer == "/a/jinja"
    assert "literal" in problem.remedy


def test_every_problem_is_given_at_once_each_at_its_pointer() -> None:
    value: Any = {"ok": "$.body", "a": ["$.[", {"b/c": "{{ x"}], "d": {"e": "{{ x | nope }}"}}
    _, problems = EXPRESSIONS.template(value, "/steps/1/with")
    assert [problem.pointer for problem in problems] == [
        "/steps/1/with/a/0",
        "/steps/1/with/a/1/b~1c",
        "/steps/1/with/d/e",
    ]
    assert {problem.code for problem in problems} == {"expression.syntax"}
    assert all(problem.remedy for problem in problems)


def test_errors_name_the_place_within_the_settings_the_path_and_the_nearest_key() -> None:
    template, _ = EXPRESSIONS.template({"row": {"sku": "$.body.totl"}}, "/steps/0/with")
    with pytest.raises(MissingValue) as caught:
        template.evaluate(SCOPE)
    assert str(caught.value) == "/row/sku: $.body.totl: there is no 'totl' in $.body; did you mean 'total'?"


def test_an_error_of_a_lone_expression_begins_with_its_source() -> None:
    with pytest.raises(ExpressionFailed, match=r"^\{\{ body\.total / 0 \}\}: "):
        value_of("{{ body.total / 0 }}")


def test_kinds_of_errors_stay_through_nesting() -> None:
    with pytest.raises(ExpressionLimit, match=r"^/a/0: "):
        value_of({"a": ["{% for i in range(999999999) %}{% endfor %}"]})


def test_a_mapper_that_breaks_is_a_problem_or_a_failed_expression() -> None:
    expressions = Expressions(MAPPERS, ["break"])
    _, (problem,) = expressions.template({"break": "compile"})
    assert "ZeroDivisionError" in problem.message
    with pytest.raises(ExpressionFailed, match="ZeroDivisionError"):
        value_of({"break": "run"}, expressions)


def test_constants_are_shared_and_keys_keep_their_order() -> None:
    template = compiled({"z": {"deep": [1, 2]}, "a": "$.body.id", "m": "text"})
    first, second = template.evaluate(SCOPE), template.evaluate(SCOPE)
    assert list(first) == ["z", "a", "m"]
    assert first == {"z": {"deep": [1, 2]}, "a": "A-1", "m": "text"}
    assert first is not second
    assert first["z"] is second["z"]


def test_the_linter_can_walk_a_template() -> None:
    template, _ = EXPRESSIONS.template({"table": "t", "row": {"a~b": "$.body.id"}, "n": [1]}, "/with")
    assert not template.constant
    assert [(pointer, part.source) for pointer, part in template.parts()] == [("/with/row/a~0b", "$.body.id")]
    assert template.fields is not None
    assert {key: field.constant for key, field in template.fields.items()} == {"table": True, "row": False, "n": True}
    assert template.fields["n"].value == [1]
    assert template.fields["row"].pointer == "/with/row"
    with pytest.raises(ValueError, match="/with/row"):
        _ = template.fields["row"].value


def test_a_constant_template_knows_its_value() -> None:
    template = compiled({"a": [{"literal": "$.x"}, None]})
    assert template.constant
    assert template.value == {"a": ["$.x", None]}
    assert template.references == ()


def test_the_type_of_a_value_is_known_where_it_can_be() -> None:
    assert compiled("a {{ body.id }}").gives is str
    assert compiled("$.body.lines[*].n").gives is list
    assert compiled("{{ body.total > 1 }}").gives is bool
    assert compiled("$.body.id").gives is None
    assert compiled({"a": "$.body.id"}).gives is dict


@pytest.mark.rule(15)
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (True, True),
        (False, False),
        ("{{ body.total > 10 }}", True),
        ("$.body.paid", True),
        ("{{ not body.paid }}", False),
    ],
)
def test_conditions_give_true_or_false(condition: Any, expected: bool) -> None:
    made, problems = EXPRESSIONS.condition(condition)
    assert problems == []
    assert made.evaluate(SCOPE) is expected


@pytest.mark.rule(15)
@pytest.mark.parametrize("condition", ["$.body.text", "$.body.total", "$.body.lines", "{{ body.lines[0].n }}"])
def test_anything_else_is_an_error(condition: Any) -> None:
    made, problems = EXPRESSIONS.condition(condition)
    assert problems == []
    with pytest.raises(ExpressionFailed, match="must give true or false"):
        made.evaluate(SCOPE)


@pytest.mark.rule(15)
def test_the_text_false_is_an_error_that_says_so() -> None:
    made, _ = EXPRESSIONS.condition("$.body.text")
    with pytest.raises(ExpressionFailed, match=r"the text 'false'.*write false without quotes"):
        made.evaluate(SCOPE)


@pytest.mark.rule(15)
@pytest.mark.parametrize(
    "condition",
    ["false", "yes", 1, None, {"a": 1}, "{% if body.paid %}true{% endif %}", "$.body.lines[*]", "{{ 'x' }}"],
)
def test_what_can_never_be_a_condition_is_a_problem_of_the_flow(condition: Any) -> None:
    _, problems = EXPRESSIONS.condition(condition, "/steps/0/when")
    assert [(problem.pointer, problem.code) for problem in problems] == [("/steps/0/when", "expression.condition")]
    assert problems[0].remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="ab c", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="xyz~/", max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_values_without_expressions_come_back_as_they_are(value: Any) -> None:
    template = compiled(value)
    assert template.constant
    assert template.evaluate({}) == value


@given(JSON, JSON)
def test_any_value_comes_through_an_expression_as_it_is(body: Any, constant: Any) -> None:
    template = compiled({"a": "$.body", "b": [constant, "{{ body }}"]})
    scope = {"body": body}
    assert template.evaluate(scope) == {"a": body, "b": [constant, body]}
    assert scope == {"body": body}
