"""Durations: text and back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hookline.model.durations import LONGEST, Duration, FlowJsonSchema, format_duration, parse_duration


@given(st.integers(min_value=0, max_value=LONGEST // timedelta(milliseconds=1)))
def test_a_formatted_duration_reads_back_as_itself(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=7), "1w"),
        (timedelta(days=2), "2d"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=1.5), "1500ms"),
        (timedelta(0), "0s"),
    ],
)
def test_a_duration_is_formatted_in_its_largest_whole_unit(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_a_default_shows_in_json_schema_as_flows_write_it() -> None:
    class Waits(BaseModel):
        wait: Duration = timedelta(minutes=5)

    assert Waits.model_json_schema(schema_generator=FlowJsonSchema)["properties"]["wait"]["default"] == "5m"
    assert Waits.model_validate_json(Waits().model_dump_json()) == Waits()


@pytest.mark.parametrize("wrong", ["", "5", "5 m", "-5m", "5y", "m", 5, None, "365001d", "9999999999w"])
def test_what_is_no_duration_is_rejected_with_what_is_right(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"500ms|at most"):
        parse_duration(wrong)


def test_after_the_longest_duration_there_is_a_time() -> None:
    assert parse_duration("365000d") == LONGEST
    assert datetime.now(UTC) + LONGEST < datetime.max.replace(tzinfo=UTC) - LONGEST
