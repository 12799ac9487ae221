"""Durations as flows write them: `30s`, `1.5m`, `2h`, `7d`."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)$"
_PATTERN = re.compile(PATTERN)


def parse_duration(text: object) -> timedelta:
    """The duration that a text names. Raises ValueError, with what is right."""
    if isinstance(text, timedelta):
        return text
    match = _PATTERN.match(text) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        raise ValueError("a duration is a number and a unit: 500ms, 30s, 5m, 2h, 7d or 1w")
    unit = match[2]
    seconds = float(text[: -len(unit)]) * _UNITS[unit]
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("this duration is longer than time itself; at most 999999999d") from None


Duration = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema({"type": "string", "pattern": PATTERN})]
