"""What Jinja can't do here: reach beyond the scope, or run for long."""

from time import process_time
from typing import Any

import pytest
from jinja2.filters import FILTERS as JINJA_FILTERS

from hookline.api import ExpressionError, ExpressionFailed, ExpressionLimit, ExpressionSyntax
from hookline_mapping.jinja.filters import regex as regex_filters
from hookline_mapping.jinja.filters.standard import FILTERS, LEFT_OUT, TESTS
from hookline_mapping.jinja.mapper import Jinja

MAPPER = Jinja()
ITEMS = [{"n": number, "s": f"x{number}", "inner": [number]} for number in range(60_000)]
BIG: dict[str, Any] = {
    "body": {
        "items": ITEMS,
        "words": "a " * 2_000_000,
        "lines": "\n" * 2_000_000,
        "html": "<" * 4_000_000,
        "few": [1, 2, 3],
        "huge": 10**4000,
        "n": 999_999_999,
    },
    "trigger": {"items": [{**item, "inner": [*item["inner"]]} for item in ITEMS]},
}


def evaluate(source: str) -> Any:
    return MAPPER.compile(source).evaluate(BIG)


ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ body.__class__ }}",
    "{{ body['__cl' ~ 'ass__'] }}",
    "{{ [body] | map(attribute='__class__') | list }}",
    "{{ [body] | map('attr', '__class__') | list }}",
    "{{ ['x'] | map(attribute='upper.__self__') | list }}",
    "{{ 'x'.upper.__self__ }}",
    "{{ 'x'.format.__globals__ }}",
    "{{ '{0.__class__}'.format(body) }}",
    "{{ '{0[__class__]}'.format(body) }}",
    "{{ '{x.__class__.__init__.__globals__}'.format(x=range) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ ['{0.__class__}'] | map('format', 1) | list }}",
    "{{ '%(__class__)s' % body }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ range.__init__.__globals__ }}",
    "{{ range._run }}",
    "{{ range['_run'] }}",
    "{{ dict.mro() }}",
    "{{ dict.fromkeys([1]) }}",
    "{{ namespace.__init__.__globals__.os }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ config }}",
    "{{ namespace(a=1).__class__ }}",
    "{% set ns = namespace(a=1) %}{{ ns._Namespace__attrs }}",
    "{% set ns = namespace(a=1) %}{{ ns.__class__ }}",
    "{% set ns = namespace(a=1) %}{{ ns['__class__'] }}",
    "{% for i in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{% for i in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% for i in [1] %}{{ loop }}{% endfor %}",
    "{% for i in [1] %}{{ loop([1]) }}{% endfor %}",
    "{{ (body.few | map('string')).gi_frame }}",
    "{{ (body.few | select).gi_code }}",
    "{{ (x for x in y) }}",
    "{{ (lambda: 1)() }}",
    "{{ body.items.append(1) }}",
    "{{ body.pop('few') }}",
    "{{ body.update({'a': 1}) }}",
    "{{ body.setdefault('a', 1) }}",
    "{{ body.few.sort() }}",
    "{{ 'x'.encode() }}",
    "{{ 'x'.translate({}) }}",
    "{{ (1).to_bytes(1000000000, 'big') }}",
    "{% set body.few = 1 %}",
    "{% include '/etc/passwd' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block a %}{% endblock %}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% call f() %}{% endcall %}",
    "{% for i in [[1]] recursive %}{{ loop(i) }}{% endfor %}",
    "{{ caller() }}",
    "{{ super() }}",
    "{{ body.few | map('(method)', 'append') | list }}",
    "{{ body.few | map('(path)', 'x', ['__class__']) | list }}",
    "{{ ([1] | map('(method)', 'sort') | first)() }}",
    "{{ (range if 1 else dict)(3) }}",
    "{{ [range][0](3) }}",
)


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_beyond_the_scope_can_be_reached(source: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(source)


@pytest.mark.rule(14)
@pytest.mark.parametrize("source", ["{{ lipsum() }}", "{{ body.few | random }}", "{{ now() }}", "{{ cycler(1) }}"])
def test_there_is_no_randomness_and_no_clock(source: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(source)


def test_every_filter_of_jinja_is_taken_or_left_out_for_a_reason() -> None:
    assert set(JINJA_FILTERS) == (set(FILTERS) - set(regex_filters.FILTERS)) | set(LEFT_OUT)
    assert not set(FILTERS) & set(LEFT_OUT)
    assert "callable" not in TESTS


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_filter_that_is_left_out_says_why(name: str) -> None:
    with pytest.raises(ExpressionSyntax) as caught:
        MAPPER.compile(f"{{{{ x | {name} }}}}")
    assert LEFT_OUT[name] in str(caught.value)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [1] * body.n }}",
        "{{ (1, 2) * body.n }}",
        "{{ body.huge * body.huge * body.huge }}",
    ],
)
def test_there_is_no_repetition_of_sequences(source: str) -> None:
    with pytest.raises(ExpressionFailed, match="takes numbers"):
        evaluate(source)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "source",
    [
        "{{ 2 ** 1000000000 }}",
        "{{ 'a'.center(1000000000) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a'.rjust(1000000000) }}",
        "{{ 'a'.zfill(1000000000) }}",
        "{{ 'a'.expandtabs(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ 'a' | wordwrap(1) }}",
    ],
)
def test_there_are_no_powers_and_no_padding(source: str) -> None:
    with pytest.raises(ExpressionSyntax):
        MAPPER.compile(source)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "source",
    [
        "{{ '%1000000000d' % 1 }}",
        "{{ '%.1000000000f' % 1.5 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%.*f' % (1000000000, 1.5) }}",
        "{{ '%(a)1000000000d' | format(a=1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:.1000000000f}'.format(1.5) }}",
        "{{ '{:>{w}}'.format(1, w=1000000000) }}",
        "{{ '{:{}}'.format(1, 1000000000) }}",
        "{{ ['%1000000000d'] | map('format', 1) }}",
    ],
)
def test_there_are_no_wide_formats(source: str) -> None:
    with pytest.raises(ExpressionLimit, match="format"):
        evaluate(source)


@pytest.mark.parametrize("source", ["{{ '%(a(b)c)1000000000d' % {'a(b)c': 1} }}", "{{ '%s %' % 1 }}", "{{ '%y' % 1 }}"])
def test_a_format_with_anything_unknown_in_it_is_rejected(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        evaluate(source)


LIMITED = (
    "{% for i in range(1000000) %}{% endfor %}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
    "{% for i in body.items %}{% for j in body.items %}{% endfor %}{% endfor %}",
    "{% for c in body.words %}{% endfor %}",
    "{% for i in body.items %}{{ body.items | map(attribute='n') | sum }}{% endfor %}",
    "{% for i in body.items %}{% if i in body.items %}{% endif %}{% endfor %}",
    "{% for i in body.items %}{% if 'zz' in body.words %}{% endif %}{% endfor %}",
    "{% for i in body.items %}{% if body.items == trigger.items %}{% endif %}{% endfor %}",
    "{% for i in body.items %}{{ body.items is eq(trigger.items) }}{% endfor %}",
    "{% for i in body.items %}{{ body.words.count('zz') }}{% endfor %}",
    "{% for i in body.items %}{{ body.items.count(i) }}{% endfor %}",
    "{% for i in body.items %}{% set x = body.words[1:] %}{% endfor %}",
    "{% for i in body.items %}{% set x = body.words ~ i %}{% endfor %}",
    "{% for i in body.items %}{{ body.words | upper }}{% endfor %}",
    "{% for i in body.items %}{{ body.items | first }}{% endfor %}",
    "{% for i in range(90000) %}{% set x = '' | list %}{% endfor %}{% for i in range(90000) %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set s = namespace(x=[1]) %}{% for i in range(90) %}{% set s.x = [s.x, s.x] %}{% endfor %}{{ s.x | tojson }}",
    "{{ body.words.replace('a', body.words) }}",
    "{{ body.words | replace('a', body.words) }}",
    "{{ body.words.join(body.few + body.few + body.few) }}",
    "{{ body.words.split('a') }}",
    "{{ body.words.split() }}",
    "{{ body.lines.splitlines() }}",
    "{{ body.words | list }}",
    "{{ body.words | title }}",
    "{{ body.html | escape }}",
    "{{ body.html | urlencode }}",
    "{{ body.words.strip(body.words) }}",
    "{{ body | tojson }}{{ trigger | tojson }}",
    "{{ [body.items, trigger.items, body.items] }}",
    "{{ [1] | batch(999999999, 'x') }}",
    "{{ [1] | slice(999999999) }}",
    "{{ 1.5 | round(999999999, 'ceil') }}",
    "{{ body.words | int(base=16) }}",
    "{{ body.few | tojson(indent=999999) }}",
    "{{ range(body.n) }}",
    "{{ range(body.n) | list | length }}",
)


@pytest.mark.rule(16)
@pytest.mark.parametrize("source", LIMITED)
def test_no_message_makes_an_expression_run_for_long(source: str) -> None:
    expression = MAPPER.compile(source)
    before = process_time()
    with pytest.raises(ExpressionLimit):
        expression.evaluate(BIG)
    # The bounds count work; this only shows that none of it is left uncounted by orders of magnitude.
    assert process_time() - before < 5


def test_the_bounds_leave_room_for_honest_work() -> None:
    assert evaluate("{{ body.items | selectattr('n', '>', 59990) | map(attribute='n') | sum }}") == sum(
        range(59_991, 60_000)
    )
    assert len(evaluate("{% for i in body.items %}{{ i.s }}{% endfor %}")) == sum(len(f"x{n}") for n in range(60_000))
    assert len(evaluate("{{ body.words }}")) == 4_000_000


@pytest.mark.parametrize("source", ["{{ '%c' % 55296 }}", "{{ '%c' | format(55296) }}", "{{ '{:c}'.format(55296) }}"])
def test_a_number_of_a_message_becomes_no_text_that_json_cant_say(source: str) -> None:
    with pytest.raises(ExpressionFailed, match="half of a surrogate pair"):
        evaluate(source)
    assert evaluate(source.replace("55296", "128512")) == "😀"


@pytest.mark.parametrize("source", [r"{{ '\ud800' }}", r"x {{ body.words == '\udfff' }}", r"{{ {'\ud800': 1} }}"])
def test_a_text_with_half_of_a_surrogate_pair_is_rejected(source: str) -> None:
    with pytest.raises(ExpressionSyntax, match="half of a surrogate pair"):
        MAPPER.compile(source)
