"""Expressions of flows whose numbers are exact, and what Decimals do in those of other flows."""

from copy import deepcopy
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.api import Expression, ExpressionFailed, ExpressionSyntax, Mapper
from hookline.flows.elements.expressions import Expressions
from hookline.kernel.errors import Problem
from hookline.kernel.json import MAX_DIGITS, MAX_EXPONENT, encode, within_bounds
from hookline_mapping.jinja.mapper import Jinja
from hookline_mapping.jsonpath.mapper import JsonPath

LONG = Decimal("1." + "1" * 60)
SCOPE: dict[str, Any] = {
    "body": {
        "amount": Decimal("1.10"),
        "cents": 12345678901234567,
        "neg": Decimal("-7.5"),
        "long": LONG,
        "lines": [{"p": Decimal("0.10"), "q": 3}, {"p": Decimal("0.20"), "q": 1}],
        "binary": 0.5,
    },
}
JINJA, JSONPATH = Jinja(), JsonPath()


def exact(source: str, scope: dict[str, Any] = SCOPE) -> Any:
    mapper: Mapper = JSONPATH if source.startswith("$") else JINJA
    return mapper.compile_exact(source).evaluate(scope)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ body.amount }}", "1.10"),
        ("{{ body.amount * 1.2 }}", "1.320"),
        ("{{ body.amount * 1.20 }}", "1.3200"),
        ("{{ 0.1 + 0.2 }}", "0.3"),
        ("{{ 0.12345678901234567890 }}", "0.12345678901234567890"),
        ("{{ 1e400 }}", "1E+400"),
        ("{{ 1_0.5 }}", "10.5"),
        ("{{ -1.5 }}", "-1.5"),
        ("{{ +body.long }}", str(LONG)),
        ("{{ -body.long }}", f"-{LONG}"),
        ("{{ (-body.long) | abs }}", str(LONG)),
        ("{{ body.long - 0.5 }}", "0.6" + "1" * 59),
        ("{{ body.cents / 100 }}", "123456789012345.67"),
        ("{{ 1 / 3 }}", "0." + "3" * 34),
        ("{{ body.long / 1 }}", str(LONG)),
        ("{{ body.neg // 2 }}", "-4"),
        ("{{ body.neg % 2 }}", "0.5"),
        ("{{ 7.5 // -2 }}", "-4"),
        ("{{ 7.5 % -2 }}", "-0.5"),
        ("{{ 8.0 // 2 }}", "4"),
        ("{{ body.lines | sum('p') }}", "0.30"),
        ("{{ body.lines | map(attribute='p') | max }}", "0.20"),
        ("{{ body.amount | round(1) }}", "1.1"),
        ("{{ 2.5 | round }}", "2"),
        ("{{ 1.21 | round(1, 'ceil') }}", "1.3"),
        ("{{ -1.21 | round(1, 'floor') }}", "-1.3"),
        ("{{ 125 | round(-1, 'floor') }}", "120"),
        ("{{ 123.5 | round(-2) }}", "100"),
        ("{{ body.long | round(30) }}", "1." + "1" * 30),
        ("{{ '1.10' | float }}", "1.10"),
        ("{{ 3 | float }}", "3"),
        ("{{ 'x' | float }}", "0.0"),
        ("{{ 'NaN' | float(1.5) }}", "1.5"),
        ("{{ body.binary + body.amount }}", "1.60"),
        ("{{ 1.5 if body.cents else 2.5 }}", "1.5"),
        ("{{ 0e-900 * 0e-900 }}", "0"),
        ("$.body.amount", "1.10"),
        ("$.body.amount * 1.20", "1.3200"),
        ("$.body.cents * 0.01", "123456789012345.67"),
        ("$.body.long - 0.12345678901234567890", "0.98765432209876543221" + "1" * 40),
    ],
)
def test_a_result_has_all_its_digits(source: str, expected: str) -> None:
    before = deepcopy(SCOPE)
    found = exact(source)
    assert type(found) is Decimal
    assert str(found) == expected
    assert before == SCOPE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ body.amount == 1.1 }}", True),
        ("{{ body.amount > 1.1 }}", False),
        ("{{ body.amount in [1.1, 2] }}", True),
        ("{{ body.amount is float and body.amount is number and body.cents is not float }}", True),
        ("{{ body.lines | selectattr('p', '>', 0.1) | map(attribute='q') | list }}", [1]),
        ("{{ body.lines | sort(attribute='p', reverse=true) | map(attribute='q') | list }}", [1, 3]),
        ("{{ '12345678901234567890.5' | int }}", 12345678901234567890),
        ("{{ body.amount | int }}", 1),
        ("{{ [1e-7, 1.0e-7, 0.10, 0.1, 0.5, 0.50, 2, 2.0] | unique | length }}", 4),
        ("{{ body.cents // 2 }}", 6172839450617283),
        ("{{ '%.2f' | format(12345678901234567.891) }}", "12345678901234567.89"),
        (
            "{{ '%08.2f|%-6.1f|%+.0f|%s|%d|%%' | format(-1.5, 1.25, 2, body.amount, 1.9) }}",
            "-0001.50|1.2   |+2|1.10|1|%",
        ),
        ("{{ '%(a).3f %(b)s' | format(a=body.long, b=1) }}", "1.111 1"),
        ("{{ '{:.2f} {:,}'.format(body.long, 12345678901234567.5) }}", "1.11 12,345,678,901,234,567.5"),
        ("{{ body.amount | tojson }}", "1.10"),
        ("{{ {'a': [1.50]} | tojson }}", '{"a":[1.50]}'),
        ("{{ body.amount ~ ' EUR' }}", "1.10 EUR"),
        ("{{ body.amount }} of {{ 2.50 }}", "1.10 of 2.50"),
        ("{% for line in body.lines %}{{ line.p * line.q }};{% endfor %}", "0.30;0.20;"),
        ("{% set rate = 0.1 %}{{ rate + 0.2 }}", "0.3"),
        ("$.body.lines[?(@.p > 0.1)].q", [1]),
        ("$.body.lines[?(@.p == 0.100)].q", [3]),
        ("$.body.lines[?(@.p != 0.1)].q", [1]),
    ],
)
def test_exact_numbers_compare_and_are_shown_by_their_value(source: str, expected: Any) -> None:
    assert exact(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 1e900 * 1e900 }}", "more than 1,000 digits"),
        ("{{ 1e999 + 1e-999 }}", "more than 1,000 digits"),
        ("{{ 1e-900 * 1e-900 }}", "more than 1,000 digits"),
        ("{{ 1e999 // 1e-999 }}", "can't be calculated"),
        ("{{ 1e1000 | round(30) }}", "more than 1,000 digits"),
        ("{{ body.amount / 0 }}", "division by zero"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 0.0 / 0 }}", "can't be calculated"),
        ("{{ body.amount + 'x' }}", "takes numbers, not text"),
        ("{{ body.amount | round(1, 'up') }}", "has the methods"),
        ("$.body.amount + 'x'", "takes numbers"),
    ],
)
def test_what_has_no_exact_result_is_an_error_that_says_so(source: str, message: str) -> None:
    with pytest.raises(ExpressionFailed, match=message):
        exact(source)


@pytest.mark.parametrize(("compile", "source"), [(JINJA.compile_exact, "{{ 1e1001 }}"), (JINJA.compile, "{{ 1e309 }}")])
def test_a_constant_that_is_no_number_here_is_found_when_the_flow_is_checked(compile: Any, source: str) -> None:
    with pytest.raises(ExpressionSyntax):
        compile(source)


numbers = st.one_of(
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=20),
)


@given(numbers, numbers, st.sampled_from(["+", "-", "*", "/", "//", "%"]), st.booleans())
def test_no_two_numbers_fail_for_their_types_and_what_comes_out_is_bounded(
    left: Any, right: Any, operator: str, is_exact: bool
) -> None:
    compile = JINJA.compile_exact if is_exact else JINJA.compile
    scope = {"a": left, "b": right}
    failure = ""
    try:
        found = compile(f"{{{{ a {operator} b }}}}").evaluate(scope)
    except ExpressionFailed as error:
        failure = str(error)
    if failure:
        assert right == 0 or any(word in failure for word in ("digits", "JSON", "calculated", "too large"))
        return
    assert encode(found)
    if isinstance(found, Decimal):
        assert within_bounds(found)
        if operator in "+-*" and not isinstance(left, float) and not isinstance(right, float):
            with localcontext(prec=2 * MAX_DIGITS, Emax=2 * MAX_EXPONENT, Emin=-2 * MAX_EXPONENT):
                assert found == {"+": left + right, "-": left - right, "*": left * right}[operator]


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30).filter(bool))
def test_whole_quotients_and_remainders_are_those_of_integers(left: int, right: int) -> None:
    scope = {"a": Decimal(left), "b": right}
    assert exact("{{ a // b }}", scope) == left // right
    assert exact("{{ a % b }}", scope) == left % right


# --- Constants in settings, and mappers of others --------------------------------------------------------------------


class Shout(Mapper):
    """Knows nothing of exact numbers."""

    name = "shout"

    def compile(self, source: str) -> Expression:
        return JINJA.compile(f"{{{{ '{source}!' }}}}")


def test_a_flows_constants_are_exact_where_its_numbers_are() -> None:
    mappers: dict[str, Mapper] = {"jinja": JINJA, "jsonpath": JSONPATH, "shout": Shout()}
    value = {
        "rate": 0.1,
        "sum": "{{ body.amount + 0.1 }}",
        "default": {"jsonpath": "$.body.no", "default": 0.2},
        "said": {"shout": "hi"},
        "literal": {"literal": [0.3]},
    }
    template, problems = Expressions(mappers, ["shout"], exact=True).template(value)
    assert problems == list[Problem]()
    assert encode(template.evaluate(SCOPE)) == b'{"rate":0.1,"sum":1.20,"default":0.2,"said":"hi!","literal":[0.3]}'
    assert type(template.evaluate(SCOPE)["rate"]) is Decimal
    assert type(template.evaluate(SCOPE)["literal"][0]) is Decimal
    plain, _ = Expressions(mappers).template({"rate": 0.1})
    assert type(plain.evaluate({})["rate"]) is float


def test_a_condition_that_is_a_fraction_is_still_said_to_be_a_number() -> None:
    _, problems = Expressions({"jinja": JINJA}, exact=True).condition("{{ 1.5 }}")
    assert [problem.message for problem in problems] == ["this gives a number, but a condition must give true or false"]
