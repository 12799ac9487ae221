"""CEL's timestamps and durations."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hookline.api import ExpressionFailed

_LONGEST: Final = 100
_PARTS: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_UNITS: Final = {"h": 3.6e9, "m": 6e7, "s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}
_OFFSET: Final = re.compile(r"([+-])?(\d{2}):(\d{2})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(text: Any) -> datetime:
    """A time of RFC 3339, or seconds since 1970."""
    if isinstance(text, datetime):
        return text
    try:
        if isinstance(text, int) and not isinstance(text, bool):
            return _EPOCH + timedelta(seconds=text)
        if isinstance(text, str) and len(text) <= _LONGEST and "T" in text.upper():
            made = datetime.fromisoformat(text)
            if made.tzinfo is not None:
                return made.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ExpressionFailed(f"{_shown(text)} is no time such as '2026-01-31T08:00:00Z'")


def duration(text: Any) -> timedelta:
    """A duration such as `1h30m`."""
    if isinstance(text, timedelta):
        return text
    if isinstance(text, str) and len(text) <= _LONGEST:
        rest = text.removeprefix("-")
        parts = _PARTS.findall(rest)
        if parts and "".join(number + unit for number, unit in parts) == rest:
            try:
                made = timedelta(microseconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
            except OverflowError:
                raise ExpressionFailed(f"{_shown(text)} is longer than a duration may be") from None
            return -made if text.startswith("-") else made
    raise ExpressionFailed(f"{_shown(text)} is no duration such as '1h30m' or '90s'")


def written(value: Any) -> Any:
    """A timestamp or a duration as JSON has it: a text."""
    if isinstance(value, datetime):
        text = value.isoformat(timespec="microseconds" if value.microsecond else "seconds")
        return text.replace("+00:00", "Z")
    whole, micro = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    fraction = f".{micro:06}".rstrip("0") if micro else ""
    return f"{'-' if value < timedelta() else ''}{whole}{fraction}s"


def part(name: str, value: Any, zone: Any = None) -> int:
    """What `getFullYear` and its kin give; of a duration, all of its hours, minutes, seconds or milliseconds."""
    if isinstance(value, timedelta) and zone is None and name in _OF_DURATIONS:
        # Towards zero, as integers are divided.
        number = abs(value) // _OF_DURATIONS[name]
        if name == "getMilliseconds":
            number %= 1000
        return -number if value < timedelta() else number
    if isinstance(value, datetime):
        try:
            return int(_OF_TIMES[name](value.astimezone(_zone(zone))))
        except OverflowError:
            raise ExpressionFailed(f"the time {written(value)} doesn't exist in {zone!r}") from None
    raise ExpressionFailed(f"{name}() is of a timestamp" + (" or a duration" if name in _OF_DURATIONS else ""))


_OF_DURATIONS: Final = {
    "getHours": timedelta(hours=1),
    "getMinutes": timedelta(minutes=1),
    "getSeconds": timedelta(seconds=1),
    "getMilliseconds": timedelta(milliseconds=1),
}
_OF_TIMES: Final[dict[str, Any]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
    "getMilliseconds": lambda at: at.microsecond // 1000,
}
PARTS: Final = frozenset(_OF_TIMES)


def _zone(name: Any) -> tzinfo:
    if name is None:
        return UTC
    if isinstance(name, str) and len(name) <= _LONGEST:
        if found := _OFFSET.fullmatch(name):
            offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
            if offset < timedelta(hours=24):
                return timezone(-offset if found[1] == "-" else offset)
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ExpressionFailed(f"{_shown(name)} is no time zone such as 'Europe/Berlin' or '+02:00'")


def _shown(value: Any) -> str:
    return repr(value if not isinstance(value, str) or len(value) <= 40 else value[:40] + "…")[:60]
