"""The tables of `lookup`: of files, kept in memory until a file changes, or in the settings of a step."""

import asyncio
import csv
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakValueDictionary

from hookline.api import JsonValue, StepError, decode_json, encode_json
from hookline_files.csv_lines import LONGEST, lines_of
from hookline_files.file_actions.root import rejected

Index: TypeAlias = Mapping[str, Any]
"""The row or the value for each key of a table."""

LARGEST: Final = 20_000_000
"""The maximum size of a file in bytes."""
_MOST_KEPT: Final = 100_000_000
"""The maximum size in bytes of all files whose tables are kept."""
_MOST_TABLES: Final = 500
_SETTLED: Final = 2_000_000_000
"""Nanoseconds. A file may change twice within the resolution of its time."""
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """The settings for reading a table."""

    format: Literal["csv", "json"]
    by: str | None
    ignore_case: bool
    delimiter: str
    encoding: str
    exact: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """The properties of a file that change with its content."""

    changed: int
    size: int
    inode: int


@dataclass(slots=True)
class _Kept:
    index: Index
    seen: _Seen
    settled: bool


class Tables:
    """Tables of files. If a file has changed, its table is read again at the next use."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, Reading], _Kept] = {}
        # Only while somebody uses one, because messages may name any number of files.
        self._reading: WeakValueDictionary[tuple[Path, Reading], asyncio.Lock] = WeakValueDictionary()

    async def index(self, place: Path, shown: str, reading: Reading) -> Index:
        """Return the table of a file; `shown` is its name in errors. Raises StepError (`lookup.…`, `file.system`)."""
        key = (place, reading)
        # It is read once for any number of steps.
        lock = self._reading.setdefault(key, asyncio.Lock())
        async with lock:
            kept = self._kept.pop(key, None)
            try:
                seen = await asyncio.to_thread(_look, place)
                if kept is None or not kept.settled or kept.seen != seen:
                    kept = await asyncio.to_thread(_read, place, shown, reading)
            except OSError as error:
                raise rejected(shown, error) from error
            # The most recently used one comes last.
            self._kept[key] = kept
            self._forget()
            return kept.index

    def _forget(self) -> None:
        size = sum(kept.seen.size for kept in self._kept.values())
        for key in list(self._kept)[:-1]:
            if size <= _MOST_KEPT and len(self._kept) <= _MOST_TABLES:
                break
            size -= self._kept.pop(key).seen.size

    async def close(self) -> None:
        """Forget all tables."""
        self._kept.clear()


def _look(place: Path) -> _Seen:
    found = os.stat(place, follow_symlinks=False)  # noqa: PTH116 - Path.stat follows links on Python 3.11, or says less
    if not stat.S_ISREG(found.st_mode):
        # A link may point anywhere; a device or a pipe may never end.
        raise FileNotFoundError(2, "there is no such file")
    return _Seen(found.st_mtime_ns, found.st_size, found.st_ino)


def _read(place: Path, shown: str, reading: Reading) -> _Kept:
    for _ in range(_TRIES):
        seen = _look(place)
        if seen.size > LARGEST:
            raise StepError(
                f"{shown!r} has {seen.size} bytes, but a table may have at most {LARGEST}; use a database",
                code="lookup.size",
            )
        with place.open("rb") as file:
            data = file.read(LARGEST + 1)
        if _look(place) == seen and len(data) == seen.size:
            settled = time.time_ns() - seen.changed > _SETTLED
            return _Kept(_parsed(data, shown, reading), seen, settled)
    raise StepError(f"{shown!r} was changed while it was read", code="lookup.content", retryable=True)


def _parsed(data: bytes, shown: str, reading: Reading) -> Index:
    try:
        if reading.format == "csv":
            text = data.decode("utf-8-sig" if reading.encoding == "utf-8" else reading.encoding)
            return _index_of_rows(
                _rows(text, shown, reading.delimiter), reading.by, shown, ignore_case=reading.ignore_case
            )
        value = decode_json(data, exact=reading.exact)
    except UnicodeDecodeError as error:
        raise _content(f"{shown!r}: byte {error.start + 1} is not {error.encoding}") from error
    except (ValueError, RecursionError) as error:
        raise _content(f"{shown!r} is not JSON: {error}") from error
    return index_of(value, reading.by, shown, ignore_case=reading.ignore_case)


def _rows(text: str, shown: str, delimiter: str) -> Iterator[dict[str, JsonValue]]:
    reader = csv.reader(_lines(text, shown), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            if names is None:
                names = [name.strip() for name in cells]
                if len(set(names)) < len(names) or "" in names:
                    raise _content(f"{shown!r}: each column needs a name of its own; the names are {', '.join(names)}")
                continue
            if len(cells) != len(names):
                raise _content(
                    f"{shown!r}: line {reader.line_num} has {len(cells)} values, but there are {len(names)} columns"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise _content(f"{shown!r}: line {reader.line_num}: {error}") from error


def _lines(text: str, shown: str) -> Iterator[str]:
    for number, line in enumerate(lines_of(text), start=1):
        if len(line) > LONGEST:
            raise _content(f"{shown!r}: line {number} has more than {LONGEST:,} characters")
        yield line


def index_of(table: Any, by: str | None, shown: str, *, ignore_case: bool) -> Index:
    """Return a table by key: the keys of an object, or a column of rows, by default the first. Raises StepError."""
    if isinstance(table, dict):
        if not ignore_case:
            return table
        return _unique(((key.casefold(), value, key) for key, value in table.items()), shown)
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise _content(f"{shown} is not a table, which is an object with a value for each key, or a list of objects")
    return _index_of_rows(iter(table), by, shown, ignore_case=ignore_case)


def _index_of_rows(rows: Iterator[dict[str, Any]], by: str | None, shown: str, *, ignore_case: bool) -> Index:
    """Return rows by the value of a column. They are made one by one, so a duplicate key ends it early."""
    first = next(rows, None)
    if first is None:
        return {}
    column = by if by is not None else next(iter(first), "")
    return _unique(_keyed(chain((first,), rows), column, shown, ignore_case=ignore_case), shown)


def _keyed(
    rows: Iterable[dict[str, Any]], column: str, shown: str, *, ignore_case: bool
) -> Iterator[tuple[str, Any, str]]:
    for number, row in enumerate(rows, start=1):
        if column not in row:
            raise _content(f"{shown}: row {number} has no column {column!r}; it has {', '.join(list(row)[:5])}")
        text = key_text(row[column])
        if text is None:
            raise _content(f"{shown}: {column!r} of row {number} is neither a text nor a number")
        yield (text.casefold() if ignore_case else text), row, text


def _unique(pairs: Iterable[tuple[str, Any, str]], shown: str) -> Index:
    made: dict[str, Any] = {}
    for key, value, text in pairs:
        if key in made:
            raise _content(f"{shown} has {text!r} more than once, so the key is ambiguous")
        made[key] = value
    return made


def key_text(value: Any) -> str | None:
    """Return a key as text, because numbers in files are texts; None if it can't be a key."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | list | dict):
        return None
    return encode_json(value).decode()


def _content(message: str) -> StepError:
    # It may be partly written.
    return StepError(message, code="lookup.content", retryable=True)
