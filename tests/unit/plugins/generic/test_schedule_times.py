"""When a schedule fires: cron expressions in time zones whose clocks are put forward and back, and plain intervals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookline_generic.schedule_trigger import Cron, Every, Settings

BERLIN = "Europe/Berlin"
EXPRESSIONS = [
    ("30 2 * * *", BERLIN),
    ("30 * * * *", BERLIN),
    ("*/20 * * * *", BERLIN),
    ("0 6 * * 1-5", BERLIN),
    ("15 1-4 * * *", BERLIN),
    ("30 */2 * * *", "America/New_York"),
    ("0 0 L * *", "America/New_York"),
    ("0,30 1-3 * * *", "Australia/Lord_Howe"),
    ("*/7 * * * * *", BERLIN),
    ("0 6 * * 1-5", "UTC"),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def following(schedule: Cron, start: str, count: int) -> list[str]:
    found, at = [], utc(start)
    for _ in range(count):
        after = schedule.after(at)
        assert after is not None
        at = after
        found.append(at.strftime("%d %H:%M"))
    return found


def test_it_reads_the_expression_in_its_time_zone() -> None:
    """6:00 in Berlin is 5:00 in UTC in winter and 4:00 in summer; there is nothing on the weekend."""
    assert following(Cron("0 6 * * 1-5", BERLIN), "2026-03-27T12:00+00:00", 2) == ["30 04:00", "31 04:00"]
    assert following(Cron("0 6 * * 1-5", BERLIN), "2026-03-26T12:00+00:00", 1) == ["27 05:00"]


def test_what_is_due_in_an_hour_that_is_skipped_runs_as_soon_as_it_is_over() -> None:
    """On 29 March 2026 clocks go from 2:00 to 3:00, which is 1:00 in UTC."""
    assert following(Cron("30 2 * * *", BERLIN), "2026-03-28T00:00+00:00", 3) == ["28 01:30", "29 01:00", "30 00:30"]


def test_what_is_due_in_an_hour_that_comes_twice_runs_the_first_time_alone() -> None:
    """On 25 October 2026 clocks go from 3:00 back to 2:00, so that 2:30 is at 0:30 and 1:30 in UTC."""
    assert following(Cron("30 2 * * *", BERLIN), "2026-10-24T12:00+00:00", 2) == ["25 00:30", "26 01:30"]
    assert following(Cron("30 2 * * *", BERLIN), "2026-10-25T00:45+00:00", 1) == ["26 01:30"], "between the two"
    assert Cron("30 2 * * *", BERLIN).until(utc("2026-10-25T01:10+00:00")) == utc("2026-10-25T00:30+00:00")


@pytest.mark.parametrize("start", ["2026-03-28T23:10+00:00", "2026-10-24T23:10+00:00"])
def test_what_is_due_each_hour_goes_on_each_hour(start: str) -> None:
    hours = following(Cron("30 * * * *", BERLIN), start, 5)
    assert [text[-5:] for text in hours] == ["23:30", "00:30", "01:30", "02:30", "03:30"]


@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from([utc("2026-03-29T00:00+00:00"), utc("2026-10-25T00:00+00:00"), utc("2026-04-05T00:00+00:00")]),
    st.timedeltas(timedelta(days=-2), timedelta(days=2)),
)
def test_after_and_until_are_each_others_inverse(expression: tuple[str, str], around: datetime, by: timedelta) -> None:
    """Whatever clocks do: nothing is passed over, and nothing comes twice."""
    schedule, at = Cron(*expression), around + by
    following, before = schedule.after(at), schedule.until(at)
    assert following is not None
    assert before is not None
    assert before <= at < following
    assert schedule.until(following) == following
    assert schedule.after(before) == following
    assert schedule.until(following - datetime.resolution) == before


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
)
def test_intervals_are_counted_from_1970(interval: timedelta, at: datetime) -> None:
    schedule = Every(interval)
    following, before = schedule.after(at), schedule.until(at)
    assert following is not None
    assert before is not None
    assert before <= at < following == before + interval
    assert (before - datetime(1970, 1, 1, tzinfo=UTC)) % interval == timedelta()


def test_a_quarter_of_an_hour_is_on_the_quarter_hour() -> None:
    assert Every(timedelta(minutes=15)).after(utc("2026-01-31T08:07+00:00")) == utc("2026-01-31T08:15+00:00")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cron": "61 * * * *"}, "the minute is wrong: 0 to 59"),
        ({"cron": "0 24 * * *"}, "the hour is wrong: 0 to 23"),
        ({"cron": "0 6 32 * *"}, "the day of month is wrong: 1 to 31"),
        ({"cron": "0 6 * JANUARY *"}, "the month is wrong: 1 to 12, or JAN to DEC"),
        ({"cron": "0 6 * * MONDAY"}, "the day of week is wrong: 0 to 7"),
        ({"cron": "0 6 * *"}, "five parts, but this one has 4: minute hour day month weekday"),
        ({"cron": "0 6 31 2 *"}, "the day of month is wrong"),
        ({"cron": "0 0 */20 * 1L"}, "no day in fifty years matches it"),
        ({"cron": "0 6 * * *", "time_zone": "Europe/Belin"}, "did you mean 'Europe/Berlin'?"),
        ({"cron": "0 6 * * *", "time_zone": "Mars"}, "IANA time zones"),
        ({}, 'give either "cron" or "every"'),
        ({"cron": "0 6 * * *", "every": "5m"}, 'give either "cron" or "every"'),
        ({"every": "5m", "time_zone": BERLIN}, '"time_zone" is for "cron"'),
        ({"every": "500ms"}, "it is 1s at least"),
        ({"every": "5m", "missed": "never"}, "'skip', 'once' or 'all'"),
    ],
)
def test_wrong_settings_are_named_with_what_is_right(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(settings)
    assert message in str(caught.value)
