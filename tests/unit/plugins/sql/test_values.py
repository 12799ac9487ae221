"""Values between JSON and a database's types."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import types
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from hookline_sql.values import Unfit, for_column, for_parameter, to_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KINDS: list[TypeEngine[Any]] = [
    types.Boolean(),
    types.Integer(),
    types.Float(),
    types.Numeric(),
    types.DateTime(),
    types.DateTime(timezone=True),
    types.Date(),
    types.Time(),
    types.Uuid(),
    types.LargeBinary(),
    types.Text(),
    postgresql.INTERVAL(),
    postgresql.ARRAY(types.Integer()),
]


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_comes_back_exactly(number: Decimal) -> None:
    stored = for_column(str(number), types.Numeric())
    assert stored == number
    if abs(number.adjusted()) < 400:
        assert Decimal(str(to_json(stored))) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_becomes_the_decimal_that_reads_the_same(number: float) -> None:
    assert for_column(number, types.Numeric()) == Decimal(repr(number))
    assert float(to_json(for_column(number, types.Numeric()))) == number


@given(
    st.datetimes(
        min_value=datetime(1, 1, 3),
        max_value=datetime(9999, 12, 29),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))]),
    )
)
def test_a_time_is_the_same_moment_in_each_kind_of_column(at: datetime) -> None:
    assert for_column(at.isoformat(), types.DateTime(timezone=True)) == at
    naive = for_column(at.isoformat(), types.DateTime())
    assert naive.replace(tzinfo=UTC) == at


@given(json_values, st.sampled_from(KINDS))
def test_a_json_value_fits_or_is_unfit_and_nothing_else(value: object, kind: TypeEngine[Any]) -> None:
    with suppress(Unfit):
        for_column(value, kind)


@given(
    json_values,
    st.sampled_from(
        ["bool", "int8", "float8", "numeric", "timestamptz", "timestamp", "date", "uuid", "text[]", "interval", "jsonb"]
    ),
)
def test_a_parameter_fits_or_is_unfit_and_nothing_else(value: object, kind: str) -> None:
    with suppress(Unfit):
        for_parameter(value, kind)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"])
def test_a_moment_beyond_the_calendar_is_unfit(text: str) -> None:
    with pytest.raises(Unfit):
        for_column(text, types.DateTime())


def test_null_is_null_in_each_column() -> None:
    assert [for_column(None, kind) for kind in KINDS] == [None] * len(KINDS)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (Decimal("10.10"), Decimal("10.10")),
        (Decimal("0.12345678901234567890123"), Decimal("0.12345678901234567890123")),
        (Decimal("1E+5000"), "1E+5000"),
        (Decimal("NaN"), "NaN"),
        (float("inf"), "inf"),
        (datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00Z"),
        (datetime(2026, 1, 31, 8), "2026-01-31T08:00:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (timedelta(seconds=90), 90.0),
        (b"hi", "aGk="),
        (memoryview(b"hi"), "aGk="),
        ({1: (Decimal(2),)}, {"1": [2]}),
    ],
)
def test_what_a_database_gives_becomes_json(value: object, json: object) -> None:
    assert to_json(value) == json


@pytest.mark.parametrize(
    ("number", "whole"), [("3.00", 3), ("1E+3", 1000), ("-0.0", 0), ("3.5", None), ("1E-900", None)]
)
def test_an_exact_number_is_a_whole_one_where_it_has_no_fraction(number: str, whole: int | None) -> None:
    if whole is not None:
        assert for_column(Decimal(number), types.Integer()) == whole
        return
    with pytest.raises(Unfit, match="whole number"):
        for_column(Decimal(number), types.Integer())


def test_an_exact_number_is_text_true_or_json_where_that_is_asked_for() -> None:
    assert for_column(Decimal("1.10"), types.Text()) == "1.10"
    assert for_column(Decimal("1.0"), types.Boolean()) is True
    assert for_parameter({"a": Decimal("1.10")}, "jsonb") == '{"a":1.10}'
