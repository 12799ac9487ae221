"""Filters for times, which are texts of RFC 3339, or seconds since 1970. None of them uses the current time."""

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hookline.api import ExpressionFailed

_CODES: Final = re.compile(r"%(.|$)", re.DOTALL)
_KNOWN: Final = frozenset("aAbBdfGHIjmMpSuVyYzZ%")
"""Directives with the same meaning everywhere, whatever the machine's language is."""
_MAX_FORMAT: Final = 100
_UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*\Z")


def _zone(name: Any) -> tzinfo:
    if name == "UTC":
        return UTC
    if isinstance(name, str) and len(name) < 60 and _ZONE.match(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            pass
    raise ExpressionFailed(f"{str(name)[:60]!r} is not a time zone; write its name, such as 'Europe/Rome'")


def _time(value: Any, zone: Any = "UTC") -> datetime:
    """Return the time; `zone` is for a text without a zone."""
    try:
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(value * 1_000_000))
        if isinstance(value, str) and len(value) < 60:
            made = datetime.fromisoformat(value.strip())
            return made if made.tzinfo else made.replace(tzinfo=_zone(zone))
    except (ValueError, OverflowError):
        pass
    raise ExpressionFailed(f"{str(value)[:60]!r} is not a time; `date_parse` reads other formats")


def _text(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _checked(format: Any) -> str:
    if not isinstance(format, str) or len(format) > _MAX_FORMAT:
        raise ExpressionFailed(f"a format must be a text of at most {_MAX_FORMAT} characters")
    unknown = [code for code in _CODES.findall(format) if code not in _KNOWN]
    if unknown:
        raise ExpressionFailed(f"a format can't have %{unknown[0]}")
    return format


def date_parse(value: Any, format: str, zone: str = "UTC") -> str:
    """Parse a time in a format such as `'%d/%m/%Y'`, which needs the year. `zone` is for a text without a zone."""
    if not isinstance(value, str) or len(value) > _MAX_FORMAT:
        raise ExpressionFailed("`date_parse` takes a short text")
    if not any(year in _checked(format) for year in ("%Y", "%y", "%G")):
        raise ExpressionFailed("a format to read needs the year, %Y")
    try:
        made = datetime.strptime(value, format)
    except ValueError as error:
        raise ExpressionFailed(str(error)[:200]) from None
    return _text(made if made.tzinfo else made.replace(tzinfo=_zone(zone)))


def date_format(value: Any, format: str, zone: str | None = None) -> str:
    """Return the time as text, perhaps in another zone; names of days and months are English."""
    time = _time(value)
    return (time if zone is None else time.astimezone(_zone(zone))).strftime(_checked(format))


def date_zone(value: Any, zone: str) -> str:
    """Return the same time in a zone; a text without a zone is in UTC."""
    return _text(_time(value).astimezone(_zone(zone)))


def date_shift(
    value: Any,
    years: int = 0,
    months: int = 0,
    weeks: int = 0,
    days: int = 0,
    hours: int = 0,
    minutes: int = 0,
    seconds: int = 0,
    zone: str | None = None,
) -> str:
    """Return a later time. Days and longer units follow the zone's calendar; a missing 31st becomes the last day."""
    parts = (years, months, weeks, days, hours, minutes, seconds)
    if any(isinstance(part, bool) or not isinstance(part, int) for part in parts):
        raise ExpressionFailed("`date_shift` takes whole numbers")
    time = _time(value)
    try:
        time = time if zone is None else time.astimezone(_zone(zone))
        count = time.year * 12 + time.month - 1 + years * 12 + months
        year, month = count // 12, count % 12 + 1
        last = calendar.monthrange(year, month)[1] if 1 <= year <= 9999 else 31
        time = time.replace(year=year, month=month, day=min(time.day, last))
        time += timedelta(weeks=weeks, days=days)
        later = time.astimezone(UTC) + timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return _text(later.astimezone(time.tzinfo))
    except (OverflowError, ValueError):
        raise ExpressionFailed("the result of `date_shift` is outside the years 1 to 9999") from None


def date_diff(value: Any, other: Any, unit: str = "days") -> int | float:
    """Return the time minus another, in seconds, minutes, hours, days or weeks; an integer if it is whole."""
    if unit not in _UNITS:
        raise ExpressionFailed(f"a unit must be one of {', '.join(_UNITS)}")
    passed = (_time(value) - _time(other)) / timedelta(seconds=_UNITS[unit])
    return int(passed) if passed.is_integer() else passed


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    each.__name__: each for each in (date_parse, date_format, date_zone, date_shift, date_diff)
}
