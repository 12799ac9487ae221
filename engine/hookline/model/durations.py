"""Durations as they are written in flows: `30s`, `1.5m`, `2h`, `7d`."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

#: Milliseconds in each unit.
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)$"
_PATTERN = re.compile(PATTERN)
LONGEST: Final = timedelta(days=365_000)
"""A thousand years, so that a time and a duration together are a time."""


def parse_duration(text: object) -> timedelta:
    """Read a duration. Raises ValueError, which names the right form."""
    if isinstance(text, timedelta):
        return text
    match = _PATTERN.match(text) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        raise ValueError("a duration is a number and a unit: 500ms, 30s, 5m, 2h, 7d or 1w")
    unit = match[2]
    # Decimal, because a float of many milliseconds can be wrong by a microsecond.
    microseconds = Decimal(text[: -len(unit)]) * _UNITS[unit] * 1000
    if microseconds > LONGEST // timedelta(microseconds=1):
        raise ValueError(f"a duration is at most {LONGEST.days}d, which is a thousand years")
    return timedelta(microseconds=round(microseconds))


def format_duration(duration: timedelta) -> str:
    """Write a duration as `parse_duration` reads it, in the largest unit that gives a whole number; exact to 1 ms."""
    milliseconds = round(duration / timedelta(milliseconds=1))
    for unit, size in reversed(_UNITS.items()):
        count, rest = divmod(milliseconds, size)
        if count and not rest:
            return f"{count}{unit}"
    return "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]
"""A span of time, which flows write as `30s`, `5m`, `2h` or `1d`."""


def _at_least_a_second(interval: timedelta) -> timedelta:
    if interval < timedelta(seconds=1):
        raise ValueError("it is 1s at least")
    return interval


Interval = Annotated[Duration, AfterValidator(_at_least_a_second)]
"""The time between two repetitions."""


class FlowJsonSchema(GenerateJsonSchema):
    """JSON Schema in which the defaults of durations are written as in flows, and not as in ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)
