"""JSONata and JMESPath: what they give, what is missing, and what no message can make of them."""

import contextlib
import json
import sys
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.check.check_flow import check_flow
from hookline.flows.elements.expressions import Expressions
from hookline.kernel.errors import ExpressionError, ExpressionFailed, ExpressionLimit, ExpressionSyntax, MissingValue
from hookline.sdk.mappers import Mapper
from hookline.service.views.components import component_views
from hookline_mapping import extra_mapper
from hookline_mapping.jmespath.mapper import JmesPath
from hookline_mapping.jsonata.library_import import jexception, jsonata
from hookline_mapping.jsonata.mapper import Jsonata

SCOPE: dict[str, Any] = {
    "body": {
        "a": 1,
        "none": None,
        "big": 9007199254740993,
        "text": "aab",
        "lines": [{"sku": "A", "n": 2, "p": 1.5}, {"sku": "B", "n": 3, "p": 2}],
    },
    "execution": {"now": "2026-01-01T00:00:00Z"},
    "steps": {},
}
LONG = {"body": {"l": list(range(30_000)), "numbers": [0] * 300_000, "text": "a" * 60_000, "long": "a" * 300_000}}
ALL: list[Mapper] = [Jsonata(), JmesPath()]
each_mapper = pytest.mark.parametrize("mapper", ALL, ids=lambda mapper: mapper.name)


@pytest.mark.parametrize(
    ("mapper", "source", "value"),
    [
        (Jsonata(), "$sum(body.lines.(n * p))", 9),
        (Jsonata(), "body.lines[n > 2].sku", "B"),
        (Jsonata(), "body.lines^(>n).sku", ["B", "A"]),
        (Jsonata(), "body.lines{sku: n}", {"A": 2, "B": 3}),
        (Jsonata(), "{'kept': body.none, 'left out': body.nope}", {"kept": None}),
        (Jsonata(), "$replace(body.text, /A+/i, 'x')", "xb"),
        (Jsonata(), "$replace(body.text, 'a', '<$0>')", "<a><a>b"),
        (Jsonata(), "$replace(body.text, 'a', 'aa', 1)", "aaab"),
        (Jsonata(), "$replace(body.text, 'b', '$$$0$$0$1$x$')", "aa$b$0$1$x$"),
        (Jsonata(), "$replace(body.text, 'c', '$0')", "aab"),
        (Jsonata(), "$replace(body.text, /a/, 'ba', 2)", "babab"),
        (Jsonata(), "$replace(body.text, /(a)b/, '$1-')", "aa-"),
        (Jsonata(), "$replace(body.text, /a/, function($m) { $m.match & '!' }, 1)", "a!ab"),
        (
            Jsonata(),
            "$distinct([1, true, 1.0, 'a', 'a', {'b': [1]}, {'b': [1]}, null])",
            [1, True, "a", {"b": [1]}, None],
        ),
        (Jsonata(), "$spread([{'a': 1, 'b': 2}, [{'c': 3}], 4])", [{"a": 1}, {"b": 2}, {"c": 3}, 4]),
        (Jsonata(), "$split(body.text, 'a')", ["", "", "b"]),
        (Jsonata(), "$toMillis('03/02/2024', '[D01]/[M01]/[Y0001]')", 1706918400000),
        (Jsonata(), "$now('[Y0001]/[M01]/[D01]')", "2026/01/01"),
        (Jsonata(), "body.big + 1", 9007199254740994),
        (Jsonata(), "[1..3]", [1, 2, 3]),
        (Jsonata(), "-5 % 3", -2),
        (Jsonata(), "($f := function($n) { $n = 0 ? 0 : $f($n - 1) }; $f(500))", 0),
        (Jsonata(), "$now()", "2026-01-01T00:00:00Z"),
        (Jsonata(), "$millis()", 1767225600000),
        (Jsonata(), "body.none", None),
        (JmesPath(), "body.lines[?n > `2`].sku | [0]", "B"),
        (JmesPath(), "sum(body.lines[*].n)", 5),
        (JmesPath(), "sort_by(body.lines, &p)[-1].sku", "B"),
        (JmesPath(), "body.none", None),
        (JmesPath(), "body.lines[*].{k: sku}", [{"k": "A"}, {"k": "B"}]),
        (JmesPath(), "contains(body.lines[*].n, `3`)", True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_it_gives(mapper: Mapper, source: str, value: Any) -> None:
    assert mapper.compile(source).evaluate(SCOPE) == value


@each_mapper
def test_what_is_missing_is_named(mapper: Mapper) -> None:
    with pytest.raises(MissingValue, match="there is no 'txet' in body; did you mean 'text'"):
        mapper.compile("body.txet").evaluate(SCOPE)


@pytest.mark.parametrize(
    ("mapper", "source", "said"),
    [
        (Jsonata(), "$random()", "the same value each time"),
        (Jsonata(), "$shuffle([1])", "the same value each time"),
        (Jsonata(), "body.lines.$eval('1')", "may come from a message"),
        (Jsonata(), "($__evaluate_entry := 1)", "two underscores"),
        (Jsonata(), "$match(body.text, /(a+)+$/)", "time can't be bounded"),
        (Jsonata(), "1 +", "isn't valid JSONata"),
        (JmesPath(), "body.", "isn't valid JMESPath"),
        (JmesPath(), "nope(body)", "no function 'nope'"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_it_is_rejected_when_it_is_compiled(mapper: Mapper, source: str, said: str) -> None:
    with pytest.raises(ExpressionSyntax, match=said):
        mapper.compile(source)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("mapper", "source"),
    [
        (Jsonata(), "($f := function($n) { $f($n + 1) }; $f(1))"),
        (Jsonata(), "($f := function($n) { 1 + $f($n + 1) }; $f(1))"),
        (Jsonata(), "($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $f('ab', 60))"),
        (Jsonata(), "[1..10000000]"),
        (Jsonata(), "body.l.($$.body.l)"),
        (Jsonata(), "$pad('a', 1000000000)"),
        (Jsonata(), "$map(body.l, function($v) { $contains($$.body.text, /a*b/) })"),
        (Jsonata(), "$sum(body.numbers)"),
        (Jsonata(), "body.numbers and true"),
        (Jsonata(), "$map(body.numbers, $string)"),
        (Jsonata(), "$match(body.text, /./)"),
        (Jsonata(), "$split(body.long, '')"),
        (Jsonata(), "$formatInteger(5, body.text)"),
        (Jsonata(), "$toMillis(body.text, '[Y][M01]')"),
        (Jsonata(), "body.numbers@$x.$x"),
        (Jsonata(), "($f := function($x, $n) { $n = 0 ? $x.a : $f([[$x], [$x]], $n - 1) }; $f({'a': 1}, 40))"),
        (Jsonata(), "$reduce(body.l, function($all, $v) { $append($all, [$v]) }, [])"),
        (JmesPath(), "[body.l, body.l, body.l, body.l, body.l, body.l, body.l, body.l, body.l][].to_string(@)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_would_take_long_ends_in_an_error(mapper: Mapper, source: str) -> None:
    with pytest.raises(ExpressionLimit):
        mapper.compile(source).evaluate(LONG)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, width=32)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abnpt"), inner, max_size=4),
    max_leaves=12,
)
SOURCES: list[tuple[Mapper, str]] = [
    *((Jsonata(), source) for source in ("body.a.b", "body.*", "**.a", "$append(body.a, body.b)", "[body, [body.a]]")),
    *(
        (Jsonata(), source)
        for source in ("body ~> |a|{'n': 1}|", "$sort(body.a)", "$merge([body, {'a': 1}])", "body.a[0]")
    ),
    *(
        (JmesPath(), source)
        for source in ("body.a[].b", "body.*.a", "sort(body.a)", "merge(body, `{}`)", "[body, body.a]")
    ),
]
COMPILED = [mapper.compile(source) for mapper, source in SOURCES]


@pytest.mark.rule(14)
@given(values)
def test_it_changes_nothing_and_gives_the_same_again(body: Any) -> None:
    for expression in COMPILED:
        scope = {"body": body}
        before = deepcopy(scope)
        given_twice = []
        for _ in range(2):
            try:
                given_twice.append(repr(expression.evaluate(scope)))
            except ExpressionError as error:
                given_twice.append(repr(error))
        assert given_twice[0] == given_twice[1], expression.source
        assert repr(scope) == repr(before), expression.source


@pytest.mark.parametrize(
    ("mapper", "source", "value"),
    [
        (Jsonata(), "body.d * 3", "3.3"),
        (Jsonata(), "0.1 + 0.2", "0.3"),
        (Jsonata(), "body.d", "1.1"),
        (JmesPath(), "sum([body.d, `0.2`])", "1.3"),
        (JmesPath(), "body.d", "1.1"),
    ],
)
def test_exact_numbers_stay_exact(mapper: Mapper, source: str, value: str) -> None:
    made = mapper.compile_exact(source).evaluate({"body": {"d": Decimal("1.1")}})
    assert repr(made) == repr(Decimal(value))


def test_what_knows_no_exact_numbers_says_so() -> None:
    with pytest.raises(ExpressionFailed, match="don't support exact fractions"):
        Jsonata().compile_exact("$sum([body.d])").evaluate({"body": {"d": Decimal("1.1")}})


@pytest.mark.parametrize(
    "picture", ["[[Y]] [H01]", "[Y][d][f]", "[Y]-[Y]", "[Y](a+)+", "[Yw]", "[MNn][FNn] [Y]", "[H01]:[m01]"]
)
def test_a_picture_that_takes_the_clock_or_can_be_read_in_many_ways_is_rejected(picture: str) -> None:
    with pytest.raises(ExpressionFailed, match="toMillis"):
        Jsonata().compile("$toMillis('x', body)").evaluate({"body": picture})


def test_what_would_show_an_address_is_rejected() -> None:
    with pytest.raises(ExpressionFailed, match="only with a pattern"):
        Jsonata().compile("$replace('a', 'a', function($m) { 'b' })").evaluate({})


def test_pythons_own_depth_stays() -> None:
    assert Jsonata().compile("1").evaluate({}) == 1
    assert sys.getrecursionlimit() < 10_000


def test_they_count_only_in_flows_that_list_them() -> None:
    value = {"jsonata": "1 + 1"}
    mappers = load_plugins().mappers
    assert Expressions(mappers).template(value)[0].evaluate({}) == value
    assert Expressions(mappers, ["jsonata"]).template(value)[0].evaluate({}) == 2


@each_mapper
def test_without_its_extra_the_command_that_installs_it_is_said(
    mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra_mapper, "find_spec", lambda name: None)
    registry = load_plugins()
    flow = {
        "id": "f",
        "trigger": {"use": "manual"},
        "mappers": [mapper.name],
        "steps": [{"id": "m", "use": "map", "with": {"body": {mapper.name: "body"}}}],
    }
    (problem,) = [each for each in check_flow(json.dumps(flow).encode(), registry).problems if each.severity == "error"]
    assert problem.code == "unavailable"
    assert f"pip install 'hookline[{mapper.name}]'" in str(problem)
    (view,) = [view for view in component_views(registry) if view.name == mapper.name and view.kind == "mapper"]
    assert view.unavailable == f"pip install 'hookline[{mapper.name}]'"


#: Grouping is done here, since the library copies a group for each of its members.
GROUPINGS = (
    "body.v{a: b}",
    "body.v{a: $}",
    "body.v{'all': $}",
    "body.v{a: n, b: n}",
    "body.v{n: a}",
    "body.v{a: l}",
    "body.v[n > 1]{a: {'sum': $sum(n), 'count': $count($)}}",
    "body.v @ $i.{'a': $i}",
    "body.v # $i {a: [$i, n]}",
    "body.v @ $o.l @ $p {$o.a: $p}",
    "body.w{$string($): $}",
    "body.w{'all': $}",
    "body.none{'all': $}",
)
_members = st.fixed_dictionaries(
    {"b": st.sampled_from("pq"), "n": st.integers(0, 4), "l": st.lists(st.integers(0, 3), max_size=3)},
    optional={"a": st.sampled_from("xyz")},
)
_few = st.sampled_from([1, "s", [1, 2], [], None, {"z": 1}, [None, 3]])


@given(members=st.lists(_members, max_size=6), few=st.lists(_few, max_size=5), source=st.sampled_from(GROUPINGS))
def test_grouping_has_the_librarys_results(members: list[Any], few: list[Any], source: str) -> None:
    scope = {"body": {"v": members, "w": few}}
    expected = _of_the_library(source, scope)
    with contextlib.nullcontext() if expected is not None else pytest.raises((ExpressionFailed, MissingValue)):
        assert Jsonata().compile(source).evaluate(scope) == expected


def _of_the_library(source: str, scope: Any) -> Any:
    """The result of the library alone; None if there is none, or if it rejects a key."""
    made = jsonata.Jsonata(source)
    made.set_output_convert_nulls(True)
    try:
        return made.evaluate(deepcopy(scope))
    except jexception.JException:
        return None
    except TypeError:
        return {}  # of no items with bindings, it tries to look at the first
