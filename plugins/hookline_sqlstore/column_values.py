"""Values of columns: times in microseconds since 1970, the beginnings of ids, hashes of keys, and statistics."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, overload

from hookline.api_storage import Counts

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@overload
def micros(at: datetime) -> int: ...
@overload
def micros(at: datetime | None) -> int | None: ...
def micros(at: datetime | None) -> int | None:
    """Convert an aware time to microseconds since 1970."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


@overload
def moment(value: int) -> datetime: ...
@overload
def moment(value: int | None) -> datetime | None: ...
def moment(value: int | None) -> datetime | None:
    """Convert microseconds since 1970 to a time in UTC."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def first_id(at: datetime) -> str:
    """Return a text that sorts before all ids made at this time or later; ids are UUIDs of version 7."""
    text = f"{micros(at) // 1000:012x}"
    return f"{text[:8]}-{text[8:]}"


def key_hash(dedupe_key: str) -> bytes:
    """Return the SHA-256 of a key. The key itself may be too long for an index, or have characters that a database
    rejects."""
    return hashlib.sha256(dedupe_key.encode()).digest()


def storable(text: str | None) -> str | None:
    """Replace characters that a database rejects: PostgreSQL has no NUL, and no database has lone surrogates."""
    return None if text is None else text.replace("\0", "\ufffd").encode(errors="replace").decode()


def counts_in(queue_age: int, numbers: Iterable[int]) -> Counts:
    """The statistics in a row. `queue_age`: in microseconds. `numbers`: those of `tables.COUNTED`."""
    accepted, rejected, succeeded, failed, cancelled, *latency = numbers
    age = timedelta(microseconds=queue_age)
    return Counts(accepted, rejected, succeeded, failed, cancelled, age, tuple(latency))
