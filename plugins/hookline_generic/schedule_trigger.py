"""The trigger `schedule`: by a cron expression in a time zone, or at an interval."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from hookline.api import Interval, Schedule, ScheduleSettings, ScheduleTrigger, did_you_mean

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORM: Final = "minute hour day month weekday, as in `0 6 * * 1-5`: at 6:00 from Monday to Friday"
#: The valid values of each part of an expression, by cronsim's name of the part.
_PARTS: Final = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L for the last day, or LW for the last from Monday to Friday",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L for the last Friday, or MON#1 for the first Monday",
}
#: Longer than any change of clocks.
_LEAP: Final = timedelta(hours=3)


def _cron(text: str) -> str:
    try:
        times = CronSim(text, _EPOCH)
    except CronSimError as error:
        raise ValueError(_remedy(text, str(error))) from None
    if next(times, None) is None:
        raise ValueError("no day in fifty years matches it, so it never fires")
    return text


def _remedy(text: str, cause: str) -> str:
    part = cause.removeprefix("Bad ")
    if part not in _PARTS:
        return f"a cron expression has five parts, but this one has {len(text.split())}: {_FORM}"
    return f"the {part.replace('-', ' ')} is wrong: {_PARTS[part]}; also *, lists (1,15), ranges (1-5), steps (*/10)"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(did_you_mean(name, _zones(), "name one of the IANA time zones, such as Europe/Berlin or UTC"))
    return name


class Settings(ScheduleSettings):
    """The times at which the schedule fires."""

    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None,
        description=f"A cron expression: {_FORM}. A sixth part, at the beginning, is for the seconds.",
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The IANA time zone of `cron`, such as `Europe/Berlin`."
    )
    every: Interval | None = Field(
        default=None,
        description="Instead of `cron`, an interval: the schedule fires at each multiple since 1970 in UTC, so `15m` "
        "is on the quarter hour.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError('give either "cron" or "every"')
        if self.every is not None and "time_zone" in self.model_fields_set:
            raise ValueError('"time_zone" is for "cron": an interval is the same in every time zone')
        return self


class Every:
    """The multiples of a duration since 1970."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def after(self, at: datetime) -> datetime | None:
        return _EPOCH + ((at - _EPOCH) // self._interval + 1) * self._interval

    def until(self, at: datetime) -> datetime | None:
        return _EPOCH + (at - _EPOCH) // self._interval * self._interval


class Cron:
    """The times of a cron expression. When clocks change, it behaves like Debian's cron.

    A schedule with set times fires once on each day: right after the hour if that hour is skipped, and the first time
    if it comes twice. A schedule with an interval (the minute or the hour has a `*`) goes on as usual.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        self._expression = expression
        # cronsim has a shortcut for this one only.
        self._zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
        # Set times follow the time that a clock shows, which may come twice: so the search begins earlier.
        by_the_clock = CronSim(expression, _EPOCH.astimezone(self._zone)).fixup_tz is not None
        self._leap = _LEAP if by_the_clock else timedelta()

    def after(self, at: datetime) -> datetime | None:
        for found in CronSim(self._expression, (at - self._leap).astimezone(self._zone)):
            if (time := found.astimezone(UTC)) > at:
                return time
        return None

    def until(self, at: datetime) -> datetime | None:
        # A second later, because that time itself counts.
        start = (at + self._leap + timedelta(seconds=1)).astimezone(self._zone)
        for found in CronSim(self._expression, start, reverse=True):
            if (time := found.astimezone(UTC)) <= at:
                return time
        return None


def _schedule(settings: Any) -> Schedule:
    assert isinstance(settings, Settings)  # noqa: S101 - the trigger's own
    if settings.every is not None:
        return Every(settings.every)
    return Cron(settings.cron or "", settings.time_zone)


schedule = ScheduleTrigger(
    name="schedule",
    title="Schedule",
    settings=Settings,
    summary="Starts an execution at set times.",
    description="Starts an execution at set times.\n\n"
    "The message's body is `scheduled_at` (the scheduled time), `fired_at` (the time at which the message was made) "
    "and `previous_at` (`scheduled_at` of the run before, null at the first). A paused or stopped flow doesn't fire; "
    "when it is active again, `missed` says what happens to the missed runs.",
    schedule=_schedule,
)
