"""The mapper `jinja`: values, text, and what is missing."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.api import ExpressionFailed, ExpressionSyntax, MissingValue
from hookline_mapping.jinja.mapper import Jinja

SCOPE: dict[str, Any] = {
    "body": {
        "id": "A-1",
        "number": "123",
        "count": 3,
        "price": 2.5,
        "exact": Decimal("1.10"),
        "paid": True,
        "nothing": None,
        "items": [{"sku": "B", "n": 2}, {"sku": "A", "n": 1, "note": "x"}],
        "keys": "a key",
        "address": {"town name": "Köln"},
        "at": "2026-01-31T08:00:00Z",
    },
    "execution": {"id": "e-1", "now": "2026-02-01T00:00:00.000000Z"},
    "index": 4,
}
MAPPER = Jinja()


def evaluate(source: str, scope: dict[str, Any] = SCOPE) -> Any:
    return MAPPER.compile(source).evaluate(scope)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ body.count }}", 3),
        ("{{ body.number }}", "123"),
        ("{{ '123' }}", "123"),
        ("{{ body.paid }}", True),
        ("{{ body.nothing }}", None),
        ("{{ body.exact }}", Decimal("1.10")),
        ("{{ body.count + 1 }}", 4),
        ("{{ body.price * 2 }}", 5.0),
        ("{{ body.count > 2 and body.paid }}", True),
        ("{{ {'a': [body.id, 1]} }}", {"a": ["A-1", 1]}),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ body['address']['town name'] }}", "Köln"),
        ("{{ body.items[-1].sku }}", "A"),
        ("{{ body.items.0.sku }}", "B"),
        ("{{ body.at[:10] }}", "2026-01-31"),
        ("{{ body.items[:1] | length }}", 1),
        ("{{- body.count -}}", 3),
        ("{{ body }}", SCOPE["body"]),
        ("{{ index }}", 4),
        ("{{ execution.now }}", "2026-02-01T00:00:00.000000Z"),
        ("{{ 'yes' if body.paid else 'no' }}", "yes"),
    ],
)
def test_a_lone_expression_gives_its_value(source: str, expected: Any) -> None:
    value = evaluate(source)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("n {{ body.count }}", "n 3"),
        ("{{ body.count }}\n", "3\n"),
        (" {{ body.count }}", " 3"),
        ("{{ body.count }}{{ body.count }}", "33"),
        ("{% if body.paid %}1{% endif %}", "1"),
        ("{{ body.id }} on {{ body.at[:10] }}", "A-1 on 2026-01-31"),
        ("{% for i in body.items %}{{ loop.index }}{{ i.sku }}{{ ',' if not loop.last }}{% endfor %}", "1B,2A"),
        ("{% set total = body.count * 2 %}{{ total }}", "6"),
        (
            "{% set s = namespace(n=0) %}{% for i in body.items %}{% set s.n = s.n + i.n %}{% endfor %}{{ s.n }}",
            "3",
        ),
        ("{% for k, v in body.address.items() %}{{ k }}={{ v }}{% endfor %}", "town name=Köln"),
        ("{% set t %}{{ body.id }}!{% endset %}{{ t | lower }}", "a-1!"),
        ("{% with x = 1 %}{{ x }}{% endwith %}{# a warning #}", "1"),
        ("{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
        ("{% filter upper %}a{{ body.count }}{% endfilter %}", "A3"),
    ],
)
def test_anything_else_gives_text(source: str, expected: str) -> None:
    assert evaluate(source) == expected


def test_values_inside_text_read_as_json() -> None:
    assert evaluate("{{ body.paid }} {{ body.nothing }} {{ body.exact }} {{ body.items[0] }} {{ body.price }}") == (
        'true null 1.10 {"sku":"B","n":2} 2.5'
    )
    assert evaluate("{{ body.id ~ body.paid ~ body.nothing }}") == "A-1truenull"


@pytest.mark.rule(16)
def test_keys_come_before_attributes_and_methods_are_only_called() -> None:
    assert evaluate("{{ body.items }}") == SCOPE["body"]["items"]
    assert evaluate("{{ body.keys }}") == "a key"
    assert evaluate("{{ body.keys() }}") == list(SCOPE["body"])
    assert evaluate("{{ body.get('count') }}") == 3
    assert evaluate("{{ body.get('gone', 5) }}") == 5
    assert evaluate("{{ body.id.lower().replace('-', '') }}") == "a1"
    with pytest.raises(MissingValue, match=r"body\.address\.items: there is no 'items' in body\.address"):
        evaluate("{{ body.address.items }}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ body.idd }}", "body.idd: there is no 'idd' in body; did you mean 'id'?"),
        ("{{ body.idd.x }}", "body.idd.x: there is no 'idd' in body; did you mean 'id'?"),
        ("{{ body.idd ~ 'x' }}", "body.idd: there is no 'idd' in body; did you mean 'id'?"),
        ("a {{ body.idd }}", "body.idd: there is no 'idd' in body; did you mean 'id'?"),
        ("{{ bodi.id }}", "bodi.id: there is no 'bodi' in the scope; did you mean 'body'?"),
        ("{{ bodi | upper }}", "bodi: there is no 'bodi' in the scope; did you mean 'body'?"),
        ("{{ body.items[7].sku }}", "body.items[7].sku: body.items has 2 items, none at [7]"),
        ("{{ body.nothing.x }}", "body.nothing.x: body.nothing is null and has no 'x'"),
        (
            "{{ body.address['town'] }}",
            "body.address.town: there is no 'town' in body.address; did you mean 'town name'?",
        ),
        ("{{ body[body.id] }}", "A-1: there is no 'A-1' in the value it is read from"),
        ("{{ 1 if not body.paid }}", "its `if` is false, and there is no `else`"),
        ("{{ now() }}", "now: there is no 'now' in the scope"),
    ],
)
def test_what_is_missing_is_named_in_full_with_the_nearest_key(source: str, message: str) -> None:
    with pytest.raises(MissingValue) as caught:
        evaluate(source)
    assert str(caught.value).startswith(message)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "source",
    [
        "{{ [1, body.gone] }}",
        "{{ {'a': {'b': body.gone}} }}",
        "{{ [[body.gone.deep]] }}",
        "{{ body.items | map(attribute='note') }}",
        "{{ body.items | map(attribute='note') | join }}",
        "{{ body.items | sum(attribute='note') }}",
        "{{ body.gone == 1 }}",
        "{{ body.gone != 1 }}",
        "{{ body.gone in [1] }}",
        "{{ 1 in body.gone }}",
        "{{ not body.gone }}",
        "{{ body.gone or 1 }}",
        "{{ body.gone is none }}",
        "{{ body.gone is string }}",
        "{{ 1 is eq(body.gone) }}",
        "{{ body.gone + 1 }}",
        "{{ -body.gone }}",
        "{{ body.gone | upper }}",
        "{{ body.id | replace(body.gone, '') }}",
        "{{ body.id.replace('A', body.gone) }}",
        "{{ body.gone.upper() }}",
        "{{ body.gone[:2] }}",
        "{{ body.items[body.gone] }}",
        "{{ '%s' % body.gone }}",
        "{{ '{}'.format(body.gone) }}",
        "{{ range(body.gone) }}",
        "{{ body.gone | tojson }}",
        "{{ [body.gone] | tojson }}",
        "{% for i in body.gone %}{% endfor %}",
        "{% if body.gone %}{% endif %}",
        "{{ body.items | sort(attribute='note') }}",
        "{{ body.gone() }}",
        "{{ gone() }}",
    ],
)
def test_an_undefined_anywhere_is_the_missing_value_error(source: str) -> None:
    with pytest.raises((MissingValue, ExpressionSyntax)) as caught:
        evaluate(source)
    assert isinstance(caught.value, MissingValue) or "method 'gone'" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ body.gone | default('x') }}", "x"),
        ("{{ body.gone.deeper.still | default(1) }}", 1),
        ("{{ gone.deeper | d(1) }}", 1),
        ("{{ body.items[9].sku | default(none) }}", None),
        ("{{ body.nothing.x | default(1) }}", 1),
        ("{{ body.gone.upper() | default('x') }}", "x"),
        ("{{ body.gone[:3] | default('x') }}", "x"),
        ("{{ body.id | default('x') }}", "A-1"),
        ("{{ body.nothing | default('x') }}", None),
        ("{{ body.nothing | default('x', true) }}", "x"),
        ("{{ body.gone | default(body.also) | default(2) }}", 2),
        ("{{ body.gone is defined }}", False),
        ("{{ body.gone.deeper is defined }}", False),
        ("{{ body.id is defined }}", True),
        ("{{ body.gone.x is undefined }}", True),
        ("{{ body.items | map(attribute='note') | select('defined') }}", ["x"]),
        ("{{ body.items | map(attribute='note', default='-') }}", ["-", "x"]),
        ("{{ body.items | selectattr('note', 'defined') | map(attribute='sku') | first }}", "A"),
    ],
)
def test_default_and_defined_say_that_it_may_be_missing(source: str, expected: Any) -> None:
    assert evaluate(source) == expected


def test_an_if_without_else_is_nothing_inside_text() -> None:
    assert evaluate("a{{ 'b' if not body.paid }}c") == "ac"
    assert evaluate("{{ 'a' ~ ('b' if not body.paid) }}") == "a"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ body.items | map(attribute='n') | sum }}", 3),
        ("{{ body.items | sum(attribute='n', start=10) }}", 13),
        ("{{ body.items | map(attribute='sku') | sort }}", ["A", "B"]),
        ("{{ body.items | sort(attribute='n') | map(attribute='sku') | join('-') }}", "A-B"),
        ("{{ body.items | join(', ', attribute='sku') }}", "B, A"),
        ("{{ body.items | selectattr('n', '>', 1) | list }}", [{"sku": "B", "n": 2}]),
        ("{{ body.items | rejectattr('n', 'gt', 1) | map(attribute='sku') }}", ["A"]),
        ("{{ [3, 1, 3] | unique }}", [3, 1]),
        ("{{ [0.1, 1, true, 1.0, 0.1, 0.5] | unique }}", [0.1, 1, 0.5]),
        ("{{ [3, 1] | min }}", 1),
        ("{{ [3, 1] | max }}", 3),
        ("{{ [1, 2, 3] | batch(2) }}", [[1, 2], [3]]),
        ("{{ [1, 2, 3] | slice(2) }}", [[1, 2], [3]]),
        ("{{ [1, 2] | reverse }}", [2, 1]),
        ("{{ 'ab' | reverse }}", "ba"),
        ("{{ 'ab' | list }}", ["a", "b"]),
        ("{{ body.items | groupby('n') | map(attribute='grouper') }}", [1, 2]),
        ("{{ body.address | items }}", [["town name", "Köln"]]),
        ("{{ {'b': 1, 'a': 2} | dictsort }}", [["a", 2], ["b", 1]]),
        ("{{ 2.345 | round(1) }}", 2.3),
        ("{{ 2.1 | round(0, 'ceil') }}", 3.0),
        ("{{ body.exact | round(1) }}", Decimal("1.1")),
        ("{{ '42' | int }}", 42),
        ("{{ '4.5' | float }}", 4.5),
        ("{{ (-3) | abs }}", 3),
        ("{{ '%05d' | format(7) }}", "00007"),
        ("{{ '%.2f EUR' % body.price }}", "2.50 EUR"),
        ("{{ '%(a)s' | format(a=body.paid) }}", "true"),
        ("{{ '{:.2f} {}'.format(body.price, body.paid) }}", "2.50 true"),
        ("{{ '{a!s:>4}'.format(a=1) }}", "   1"),
        ("{{ ' x ' | trim }}", "x"),
        ("{{ 'hello world' | title }}", "Hello World"),
        ("{{ 'hello world' | truncate(5, true, '…', 0) }}", "hell…"),
        ("{{ 'a b&c' | urlencode }}", "a%20b%26c"),
        ("{{ '<a>' | escape }}", "&lt;a&gt;"),
        ("{{ ('<a>' | e) ~ '<' }}", "&lt;a&gt;<"),
        ("{{ body.exact | tojson }}", "1.10"),
        ("{{ body.address | tojson }}", '{"town name":"Köln"}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{{ 'a,b'.split(',') }}", ["a", "b"]),
        ("{{ 'a b  c'.split() | length }}", 3),
        ("{{ 'a\\nb'.splitlines() }}", ["a", "b"]),
        ("{{ ','.join([1, 'a', none]) }}", "1,a,null"),
        ("{{ body.id.startswith('A') }}", True),
        ("{{ body.id is in ['A-1'] }}", True),
        ("{{ dict(a=1) }}", {"a": 1}),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ 7 // 2 }}", 3),
        ("{{ 7 % 4 }}", 3),
        ("{{ 1000 | filesizeformat }}", "1.0 kB"),
    ],
)
def test_filters_and_methods(source: str, expected: Any) -> None:
    assert evaluate(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 'nan' | float }}", "nan"),
        ("{{ {1: 2} }}", "key 1 isn't text"),
        ("{{ namespace(a=1) }}", "isn't a JSON value"),
        ("{{ [range] }}", "isn't a JSON value"),
        ("{{ 1 / 0 }}", "zero"),
        ("{{ 'a' + 1 }}", "a ~ b"),
        ("{{ body.nothing | sum }}", "NoneType"),
        ("{{ body.count[:1] }}", "can't be sliced"),
        ("{{ body.items.upper() }}", "a list has no method 'upper'"),
        ("{% for i in body.count %}{% endfor %}", "has no items"),
        ("{% set body.x = 1 %}", "namespace"),
    ],
)
def test_what_fails_says_why(source: str, message: str) -> None:
    with pytest.raises(ExpressionFailed, match=message):
        evaluate(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ body.", "this isn't valid Jinja"),
        ("{{ }}", "Expected an expression"),
        ("a\n{% if x %}", "line 2"),
        ("{{ x | uper }}", "did you mean 'upper'"),
        ("{{ x is defind }}", "did you mean 'defined'"),
        ("{{ x.uper() }}", "did you mean upper"),
        ("{% if x %}{{ y | nope }}{% endif %}", "the filter 'nope'"),
        ("{{ x | random }}", "same value each time"),
    ],
)
def test_malformed_expressions_are_syntax_errors(source: str, message: str) -> None:
    with pytest.raises(ExpressionSyntax, match=message):
        MAPPER.compile(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ steps.order.body.id }}", [(("steps", "order", "body", "id"), False)]),
        (
            "a {{ steps['order'].body[0].id ~ vars.x }}",
            [(("steps", "order", "body", 0, "id"), False), (("vars", "x"), False)],
        ),
        ("{{ steps.a.b | default(vars.c) }}", [(("steps", "a", "b"), True), (("vars", "c"), False)]),
        ("{{ steps.a.b if steps.a is defined else 1 }}", [(("steps", "a"), True), (("steps", "a", "b"), True)]),
        ("{% for i in body.items %}{{ i.x }}{{ loop.index }}{% endfor %}", [(("body", "items"), False)]),
        ("{% set x = body.a %}{{ x.b }}{{ range(2) }}", [(("body", "a"), False)]),
        ("{{ body.id.upper() }}", [(("body", "id"), False)]),
        ("{{ body[vars.key].x }}", [(("body",), False), (("vars", "key"), False)]),
        ("{{ body.at[:vars.n] }}", [(("body", "at"), False), (("vars", "n"), False)]),
    ],
)
def test_references_are_known_before_it_runs(source: str, expected: list[Any]) -> None:
    found = {reference.path: reference.optional for reference in MAPPER.compile(source).references}
    assert found == dict(expected)


@pytest.mark.rule(14)
def test_the_same_scope_gives_the_same_value_and_stays_as_it_is() -> None:
    scope = deepcopy(SCOPE)
    for source in (
        "{{ body.items | sort(attribute='n') }}",
        "{{ body.items | map(attribute='n') | list }}",
        "{% for i in body.items %}{{ loop.cycle('a', 'b') }}{{ i }}{% endfor %}",
        "{{ dict(body) }}",
        "{{ [body.items, (1, body)] }}",
        "{{ body.items + [1] }}",
    ):
        expression = MAPPER.compile(source)
        assert expression.evaluate(scope) == expression.evaluate(scope)
    assert scope == SCOPE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@given(JSON)
def test_any_json_value_comes_through_as_it_is(value: Any) -> None:
    scope = {"body": value}
    assert evaluate("{{ body }}", scope) == value
    assert evaluate("{{ [body] }}", scope) == [value]
    assert evaluate("{{ {'a': (body, 1)} }}", scope) == {"a": [value, 1]}
    assert scope == {"body": value}


@given(st.text())
def test_text_comes_through_text_as_it_is(value: str) -> None:
    assert evaluate("<{{ body }}>", {"body": value}) == f"<{value}>"
    assert evaluate("{{ '<' ~ body }}", {"body": value}) == f"<{value}"


@pytest.mark.rule(16)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "items", "keys", "get"]), JSON, max_size=4),
    st.sampled_from(["items", "a"]),
)
def test_a_name_is_the_key_or_it_is_missing(body: dict[str, Any], key: str) -> None:
    for source in (f"{{{{ body.{key} }}}}", f"{{{{ [body.{key}] | first }}}}"):
        if key in body:
            assert evaluate(source, {"body": body}) == body[key]
        else:
            with pytest.raises(MissingValue):
                evaluate(source, {"body": body})


ORDER = {
    "total_price": "398.00",
    "name": "Ada",
    "note": None,
    "count": 3,
    "lines": [{"price": "1.50"}, {"price": 2}],
    "unit price": "2",
}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ body.total_price > 100 }}", 'body.total_price is text "398.00"; write body.total_price | float > 100'),
        ("{{ 100 <= body.total_price }}", 'body.total_price is text "398.00"; write 100 <= body.total_price | float'),
        ("{{ body.total_price > body.count }}", "write body.total_price | float > body.count"),
        ("{{ 1 < body.count < body.total_price }}", "write body.count < body.total_price | float"),
        ("{{ 'x' if body.count and body.total_price >= 1 else 'y' }}", "write body.total_price | float >= 1"),
        ("{{ body['unit price'] > 1 }}", "body['unit price'] is text \"2\"; write body['unit price'] | float > 1"),
        ("{{ body.lines[0].price * 2 }}", 'body.lines[0].price is text "1.50"; write body.lines[0].price | float * 2'),
        ("{{ body.total_price + 1 }}", "write body.total_price | float + 1, or body.total_price ~ 1 to join texts"),
        ("{{ body.total_price - 1 }}", "write body.total_price | float - 1"),
        ("{{ body.name > 1 }}", 'body.name is text "Ada"; `>` takes numbers here, and this text isn\'t one'),
        ("{{ body.note > 1 }}", "body.note is null; write body.note | default(0, true) if null is to count as 0"),
        (
            "{{ body.lines > 1 }}",
            "body.lines is a list; `>` takes numbers; body.lines | length is the number of its parts",
        ),
        ("total: {{ body.total_price > 100 }}", "write body.total_price | float > 100"),
        ("{% for line in body.lines %}{{ line.price > 1 }}{% endfor %}", "text and a number can't be compared by `>`"),
        ("{{ body.lines | sum(attribute='price') }}", "`+` takes numbers, not text; `| float` makes a number of text"),
    ],
)
def test_an_operand_of_the_wrong_type_is_named_with_what_to_write(source: str, message: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        Jinja().compile(source).evaluate({"body": ORDER})
    assert message in caught.value.message
    assert "instances of" not in caught.value.message
    assert "NoneType" not in caught.value.message


@pytest.mark.parametrize(
    ("source", "written", "value"),
    [
        ("body.total_price > 100", "body.total_price | float > 100", True),
        ("100 <= body.total_price", "100 <= body.total_price | float", True),
        ("body['unit price'] > 1", "body['unit price'] | float > 1", True),
        ("body.lines[0].price * 2", "body.lines[0].price | float * 2", 3),
        ("body.total_price + 1", "body.total_price | float + 1", 399),
        ("body.total_price + 1", "body.total_price ~ 1", "398.001"),
        ("body.note > 1", "body.note | default(0, true)", 0),
        ("body.lines > 1", "body.lines | length", 2),
    ],
)
def test_what_an_error_says_to_write_works(source: str, written: str, value: object) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        evaluate(f"{{{{ {source} }}}}", {"body": ORDER})
    assert written in caught.value.message
    assert evaluate(f"{{{{ {written} }}}}", {"body": ORDER}) == value


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{{ body.total = 3 }}", "`==` compares"),
        ("{% if body.total = 3 %}x{% endif %}", "`==` compares"),
        ("{{ body.a === 3 }}", "there is no `===`"),
        ("{{ body.a && body.b }}", "write `and`"),
        ("{{ body.a || 1 }}", "write `or`"),
        ("{{ !body.a }}", "write `not`"),
        ("{{ body.a ? 1 : 2 }}", "write `a if condition else b`"),
        ("{{ body?.a }}", "default("),
        ("{{ body.a ?? 1 }}", "default("),
        ("{{ body.a <> 1 }}", "write `!=`"),
        ("{{ $.body.a }}", "write body.total, not $.body.total"),
    ],
)
def test_an_operator_of_another_language_gets_a_hint(source: str, hint: str) -> None:
    with pytest.raises(ExpressionSyntax, match=r"this isn't valid Jinja") as caught:
        Jinja().compile(source)
    assert hint in caught.value.message
