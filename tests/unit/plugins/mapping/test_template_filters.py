"""Filters for money, times, patterns and other ways of writing a text, and those that plugins bring."""

from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.api import Mapper, TemplateFilter, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import ExpressionError, ExpressionLimit, ExpressionSyntax
from hookline_mapping.jinja.filters import encode

JINJA: Mapper = load_plugins().mappers["jinja"]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ '2.345' | money('EUR') }}", "2.34"),
        ("{{ '2.345' | money('EUR', 'half_up') }}", "2.35"),
        ("{{ 1234567.5 | money('EUR', thousands='.', point=',') }}", "1.234.567,50"),
        ("{{ 1234.5 | money('JPY') }}", "1234"),
        ("{{ '1.2345' | money('KWD') }}", "1.234"),
        ("{{ -0.125 | money_round('USD', 'half_up') }}", -0.13),
        ("{{ 12 | money_round('USD') }}", 12),
        ("{{ '12.3' | minor_units('EUR') }}", 1230),
        ("{{ 1230 | from_minor_units('EUR') }}", "12.30"),
        ("{{ 5 | from_minor_units('JPY') }}", "5"),
        ("{{ '24/12/2026 18:30' | date_parse('%d/%m/%Y %H:%M', 'Europe/Rome') }}", "2026-12-24T18:30:00+01:00"),
        ("{{ '2026-07-01T12:00:00Z' | date_zone('Europe/Rome') }}", "2026-07-01T14:00:00+02:00"),
        ("{{ '2026-07-01T12:00:00Z' | date_format('%d %B %Y, %H:%M', 'America/New_York') }}", "01 July 2026, 08:00"),
        ("{{ '2026-01-31T00:00:00Z' | date_shift(months=1) }}", "2026-02-28T00:00:00Z"),
        ("{{ '2026-03-28T12:00:00+01:00' | date_shift(days=1, zone='Europe/Rome') }}", "2026-03-29T12:00:00+02:00"),
        ("{{ '2026-03-28T12:00:00+01:00' | date_shift(hours=24, zone='Europe/Rome') }}", "2026-03-29T13:00:00+02:00"),
        ("{{ '2026-01-03' | date_diff('2026-01-01') }}", 2),
        ("{{ '2026-01-01T00:30:00Z' | date_diff('2026-01-01T00:00:00Z', 'hours') }}", 0.5),
        ("{{ 0 | date_zone('UTC') }}", "1970-01-01T00:00:00Z"),
        ("{{ 'abc' | hash }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("{{ 'abc' | hash('md5') }}", "900150983cd24fb0d6963f7d28e17f72"),
        ("{{ 'ü?' | base64 }}", "w7w/"),
        ("{{ 'ü?' | base64(url=true) }}", "w7w_"),
        ("{{ 'w7w_' | base64_decode }}", "ü?"),
        ("{{ 'ü' | hex }}", "c3bc"),
        ("{{ 'a%20b+c' | urldecode(plus=true) }}", "a b c"),
        ("{{ 'Über uns — Straße 5!' | slug }}", "uber-uns-strasse-5"),
        ("{{ 'AB-12' | regex_match('[A-Z]+-[0-9]+') }}", True),
        ("{{ 'order AB-12' | regex_search('([A-Z]+)-([0-9]+)', 2) }}", "12"),
        ("{{ 'none' | regex_search('[0-9]') }}", None),
        ("{{ 'a1b22' | regex_find_all('[0-9]+') }}", ["1", "22"]),
        ("{{ 'a1b22' | regex_replace('([0-9]+)', '<\\\\1>') }}", "a<1>b<22>"),
    ],
)
def test_it_gives(source: str, value: Any) -> None:
    made = JINJA.compile(source).evaluate({})
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ 1 | money('EURO') }}", "not a currency"),
        ("{{ true | money('EUR') }}", "an amount must be a number"),
        ("{{ 1 | money('EUR', 'odd') }}", "half_even, half_up"),
        ("{{ '24/12' | date_parse('%d/%m') }}", "needs the year"),
        ("{{ 'soon' | date_zone('UTC') }}", "is not a time"),
        ("{{ 0 | date_zone('../../etc/passwd') }}", "not a time zone"),
        ("{{ 0 | date_format('%c') }}", "can't have %c"),
        ("{{ 0 | date_shift(years=100000) }}", "outside the years"),
        ("{{ '/w==' | base64_decode }}", "not UTF-8 text"),
        ("{{ 'a' | hash('crc') }}", "an algorithm must be one of"),
        ("{{ 'aaa' | regex_match('(a+)+') }}", "can't be bounded"),
        ("{{ body.nope | slug }}", "no 'nope' in body"),
    ],
)
def test_what_it_cannot_do_is_said(source: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        JINJA.compile(source).evaluate({"body": {"a": 1}})


def test_a_pattern_cannot_take_long_on_any_text() -> None:
    with pytest.raises(ExpressionLimit):
        JINJA.compile("{{ body | regex_search('a*a*a*b') }}").evaluate({"body": "a" * 5_000})
    with pytest.raises(ExpressionLimit):
        JINJA.compile("{{ body | regex_replace('a', body) }}").evaluate({"body": "a" * 20_000})


@pytest.mark.parametrize(
    ("source", "value"),
    [("{{ body | slug }}", "a" * 100_001), ("{{ body | urldecode }}", "%41" * 400_000)],
)
def test_a_text_that_would_take_long_is_rejected(source: str, value: str) -> None:
    with pytest.raises(ExpressionLimit, match="takes at most"):
        JINJA.compile(source).evaluate({"body": value})


def test_exact_amounts_stay_exact() -> None:
    made = JINJA.compile_exact("{{ body | money_round('EUR') }}").evaluate({"body": Decimal("2.345")})
    assert repr(made) == "Decimal('2.34')"


@given(st.text(max_size=40))
def test_what_is_encoded_is_decoded_again(text: str) -> None:
    assert encode.base64_decode(encode.base64(text)) == text
    assert encode.base64_decode(encode.base64(text, url=True)) == text
    assert encode.hex_decode(encode.hex_(text)) == text


def plugin(filters: Any) -> Any:
    @hookimpl
    def register_template_filters() -> Mapping[str, TemplateFilter]:
        made: Mapping[str, TemplateFilter] = filters
        return made

    return SimpleNamespace(register_template_filters=register_template_filters)


def test_hook_register_template_filters() -> None:
    registry = load_plugins(
        extra_plugins=[plugin({"twice": lambda value, by=2: value * by, "upper": lambda value: "other"})]
    )
    jinja = registry.mappers["jinja"]
    assert jinja.compile("{{ 4 | twice }} {{ 4 | twice(3) }}").evaluate({}) == "8 12"
    assert jinja.compile("{{ 'a' | upper }}").evaluate({}) == "A"
    with pytest.raises(ExpressionSyntax, match="the filter 'twice' isn't available"):
        load_plugins().mappers["jinja"].compile("{{ 4 | twice }}")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"slug": str}, "the template filter 'slug' is already registered by plugin"),
        ({"a-b": str}, "can't be a filter's name"),
        ({"a": 1}, "a function of a value"),
        ([], "a dict from names to functions"),
    ],
)
def test_filters_that_cannot_be_are_rejected(filters: Any, said: str) -> None:
    (failed,) = load_plugins(extra_plugins=[plugin(filters)]).failed
    assert said in str(failed.error)


def test_a_filters_failure_is_the_expressions() -> None:
    jinja = load_plugins(extra_plugins=[plugin({"boom": lambda value: 1 / 0, "odd": lambda value: object()})]).mappers[
        "jinja"
    ]
    for source, said in (("{{ 1 | boom }}", "`boom`: division by zero"), ("{{ 1 | odd }}", "isn't a JSON value")):
        with pytest.raises(ExpressionError, match=said):
            jinja.compile(source).evaluate({})
