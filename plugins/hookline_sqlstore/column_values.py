"""Times as the tables hold them: microseconds since 1970, exact; and as ids begin."""

from datetime import UTC, datetime, timedelta
from typing import Final, overload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@overload
def micros(at: datetime) -> int: ...
@overload
def micros(at: datetime | None) -> int | None: ...
def micros(at: datetime | None) -> int | None:
    """The column's value of an aware time."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


@overload
def moment(value: int) -> datetime: ...
@overload
def moment(value: int | None) -> datetime | None: ...
def moment(value: int | None) -> datetime | None:
    """The time, in UTC, of a column's value."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def first_id(at: datetime) -> str:
    """What sorts before each id that was made at a time or later: ids are UUIDs of version 7."""
    text = f"{micros(at) // 1000:012x}"
    return f"{text[:8]}-{text[8:]}"
