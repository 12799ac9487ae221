"""The action `csv.render`."""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from hookline.api import JsonValue, StepError, encode_json
from hookline_files.connectors import csv as csv_connector
from hookline_files.csv_actions.parse import MAX_CELLS, Character
from hookline_files.rendering_thread import offloaded

Row: TypeAlias = dict[str, JsonValue] | list[JsonValue]

_QUOTED: Final = ('"', "\r", "\n")
_AT_ONCE: Final = 65_536
"""The characters of a value that are quoted at once, because no other thread runs meanwhile."""


@csv_connector.action(pure=True)
async def render(
    rows: Annotated[
        list[dict[str, JsonValue]] | list[list[JsonValue]],
        Field(description="The rows: either all are objects, or all are lists."),
    ],
    columns: Annotated[
        list[str] | None,
        Field(description="The columns, in order; by default, the keys of objects in the order in which they occur."),
    ] = None,
    header: Annotated[
        bool, Field(description="Also write the names of the columns as the first row, if there are any.")
    ] = True,
    delimiter: Annotated[Character, Field(description="The character between values; a tab is `\\t`.")] = ",",
    line_end: Annotated[Literal["\r\n", "\n"], Field(description="The end of a row.")] = "\r\n",
) -> str:
    """Write rows as the text of a CSV file (RFC 4180).

    Null is an empty value; true, false and numbers are written as in JSON; lists and objects inside a row are errors.
    If an object has other keys than the columns, they are left out, and a missing key is an empty value. A table has at
    most 1,000,000 values, rows x columns.
    """
    if delimiter == '"':
        raise StepError("`delimiter` can't be the quote character", code="csv.settings")
    write = partial(_written, rows, columns, header=header, delimiter=delimiter, line_end=line_end)
    return await offloaded(write, [rows, columns])


def _written(rows: Sequence[Row], columns: list[str] | None, *, header: bool, delimiter: str, line_end: str) -> str:
    names = columns if columns is not None else _keys(rows)
    cells = sum(len(names) if isinstance(row, dict) else len(row) for row in rows)
    if cells > MAX_CELLS:
        raise StepError(
            f"{len(rows):,} rows of up to {len(names):,} columns have more than {MAX_CELLS:,} values; name fewer "
            "`columns`, or write the rows in parts",
            code="csv.too_large",
        )
    lines: list[str] = []
    if header and names:
        lines.append(_line(names, delimiter))
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            values: list[JsonValue] = [row.get(name) for name in names]
        elif columns is not None and len(row) != len(columns):
            raise StepError(
                f"row {number} has {len(row)} values, but there are {len(columns)} columns", code="csv.ragged"
            )
        else:
            values = row
        lines.append(_line([_text(value, number) for value in values], delimiter))
    return "".join(f"{line}{line_end}" for line in lines)


def _line(values: Sequence[str], delimiter: str) -> str:
    """Return a row as text. The standard library's writer would block all other threads during a long value."""
    line = delimiter.join(values)
    if not line and values:
        return '""'  # an empty line isn't a row
    marks = (delimiter, *_QUOTED)
    if line.count(delimiter) < len(values) and not any(mark in line for mark in _QUOTED):
        return line
    return delimiter.join([_quoted(value) if any(mark in value for mark in marks) else value for value in values])


def _quoted(value: str) -> str:
    pieces = (value[start : start + _AT_ONCE] for start in range(0, len(value), _AT_ONCE))
    return '"' + "".join(piece.replace('"', '""') for piece in pieces) + '"'


def _keys(rows: Sequence[Row]) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        if isinstance(row, dict):
            found.update(dict.fromkeys(row))
    return list(found)


def _text(value: JsonValue, number: int) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int() | float() | Decimal():
            return encode_json(value).decode()
        case _:
            raise StepError(f"row {number} contains a list or an object; map it to a text first", code="csv.value")
