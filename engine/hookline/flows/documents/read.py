"""Reading a flow's file: its value, and what is wrong with its text."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, NoReturn

from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.json import MAX_DEPTH, encode, fraction
from hookline.kernel.pointer import escape

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def lines(text: str) -> Iterator[tuple[str, int]]:
    """The JSON pointer of each value of a JSON text and its line, counted from 1; a member's line is its key's.

    A pointer whose key is repeated comes as often as the key.
    """
    starts = [match.end() for match in re.finditer("\n", text)]
    pointers: list[str] = []
    #: For each open array the index of its current item; None for an open object.
    indexes: list[int | None] = []
    key: str | None = None
    for token in _TOKEN.finditer(text):
        symbol = token[0]
        line = bisect_right(starts, token.start()) + 1
        if symbol in "}]":
            indexes.pop()
            pointers.pop()
        elif symbol == ",":
            index = indexes[-1]
            indexes[-1] = None if index is None else index + 1
            key = None
        elif symbol == ":":
            pass
        elif indexes and indexes[-1] is None and key is None:
            key = json.loads(symbol)
            yield f"{pointers[-1]}/{escape(key or '')}", line
        else:
            if not indexes:
                pointer = ""
                yield pointer, line
            elif key is not None:
                pointer = f"{pointers[-1]}/{escape(key)}"
            else:
                pointer = f"{pointers[-1]}/{indexes[-1]}"
                yield pointer, line
            if symbol in "{[":
                pointers.append(pointer)
                indexes.append(0 if symbol == "[" else None)
                key = None


_REMEDIES: Final = {
    "Expecting property name enclosed in double quotes": "a key stands in double quotes, and no comma after the last",
    "Expecting ',' delimiter": "put a comma between two values, and close every bracket",
    "Expecting ':' delimiter": "put a colon after each key",
    "Expecting value": "is there a comma too many, a quote missing, or nothing at all?",
    "Unterminated string starting at": "close the string with a double quote",
    "Invalid control character at": "write a line break within a string as \\n, a tab as \\t",
    "Invalid \\escape": "write a backslash as \\\\",
    "Extra data": "a file holds one flow: is there a bracket too many?",
}


@dataclass(frozen=True)
class Document:
    """A JSON text that was read. Its lines are counted when they are first asked for."""

    value: Any
    text: str = field(repr=False)
    file: str | None = None
    problems: tuple[Problem, ...] = ()
    """What is wrong with the text although it could be read: keys that are repeated."""

    @cached_property
    def _lines(self) -> dict[str, int]:
        return dict(lines(self.text))

    def line(self, pointer: str) -> int:
        """The line of a value, or of the nearest value around it that exists."""
        return self._lines.get(self._existing(pointer), 1)

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with their file and line, in the order of the text.

        What is wrong with a value that doesn't exist is wrong with the nearest value around it.
        """
        placed = [
            replace(
                problem,
                pointer=self._existing(problem.pointer),
                file=self.file,
                line=problem.line or self.line(problem.pointer),
            )
            for problem in problems
        ]
        return sorted(placed, key=lambda problem: problem.line or 0)

    def _existing(self, pointer: str) -> str:
        while pointer and pointer not in self._lines:
            pointer = pointer.rpartition("/")[0]
        return pointer


def read(data: bytes, file: str | None = None) -> Document:
    """The document that a JSON text holds; a UTF-8 byte order mark is dropped.

    Raises FlowInvalid where it isn't JSON, with line and column.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid("it is not UTF-8", "save the file as UTF-8", file, line) from error
    repeated: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            repeated.append("")
        return value

    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=_constant, parse_float=_fraction)
        _check(text, value)
    except json.JSONDecodeError as error:
        message = f"it is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise _invalid(message, _REMEDIES.get(error.msg, "correct the text there"), file, error.lineno) from error
    except (ValueError, RecursionError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _invalid(f"it is not JSON that can be used: {cause}", "correct the value", file, None) from error
    return Document(value, text, file, tuple(_repeated_keys(text, file)) if repeated else ())


def _invalid(message: str, remedy: str, file: str | None, line: int | None) -> FlowInvalid:
    return FlowInvalid([Problem(message, code="syntax", remedy=remedy, file=file, line=line)])


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _fraction(text: str) -> float | Decimal:
    number = fraction(text)
    if float(number) in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large")
    return number


def _check(text: str, value: Any) -> None:
    """Raise ValueError for what a decoder lets pass and an encoder rejects."""
    # Counting brackets is a bound that nearly every text stays under; only the others are measured.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if "\\u" in text:
        try:
            encode(value)
        except UnicodeEncodeError as error:
            raise ValueError("half of a surrogate pair stands alone in a string") from error


def _depth(value: Any) -> int:
    deepest, rest = 0, [(value, 1)]
    while rest:
        item, depth = rest.pop()
        if isinstance(item, (dict, list)):
            deepest = max(deepest, depth)
            rest += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _repeated_keys(text: str, file: str | None) -> Iterable[Problem]:
    seen: dict[str, int] = {}
    for pointer, line in lines(text):
        if pointer in seen:
            yield Problem(
                f"the key {pointer.rpartition('/')[2]!r} is repeated; it stands in line {seen[pointer]} already",
                pointer,
                code="duplicate_key",
                remedy="leave one of the two",
                file=file,
                line=line,
            )
        seen.setdefault(pointer, line)
