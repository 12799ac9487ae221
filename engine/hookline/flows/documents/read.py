"""Reading a JSON document: its value, the line of each part, and the problems of its text."""

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
from hookline.kernel.pointers_and_patches import escape

MAX_DOCUMENT: Final = 2_000_000
"""The most bytes of a document of a flow, or of its cases, besides white space: so its layout doesn't matter."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield the JSON pointer of each value in a JSON text and its line: see `places`."""
    return ((pointer, line) for pointer, line, _ in places(text))


def places(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the JSON pointer of each value in a JSON text, its line and its column, each counted from 1.

    The place of a member is that of its key. The pointer of a repeated key is yielded for each occurrence.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    pointers: list[str] = []
    #: The index of the current item for each open array; None for an open object.
    indexes: list[int | None] = []
    key: str | None = None
    for token in _TOKEN.finditer(text):
        symbol = token[0]
        line = bisect_right(starts, token.start())
        column = token.start() - starts[line - 1] + 1
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
            yield f"{pointers[-1]}/{escape(key or '')}", line, column
        else:
            if not indexes:
                pointer = ""
                yield pointer, line, column
            elif key is not None:
                pointer = f"{pointers[-1]}/{escape(key)}"
            else:
                pointer = f"{pointers[-1]}/{indexes[-1]}"
                yield pointer, line, column
            if symbol in "{[":
                pointers.append(pointer)
                indexes.append(0 if symbol == "[" else None)
                key = None


_REMEDIES: Final = {
    "Expecting property name enclosed in double quotes": (
        "write keys in double quotes, and no comma after the last member"
    ),
    "Expecting ',' delimiter": "write a comma between two values, and close every bracket",
    "Expecting ':' delimiter": "write a colon after each key",
    "Expecting value": "look for a superfluous comma, a missing quote, or an empty text",
    "Unterminated string starting at": "close the string with a double quote",
    "Invalid control character at": "write a line break in a string as \\n, and a tab as \\t",
    "Invalid \\escape": "write a backslash as \\\\",
    "Extra data": "write one flow only: look for a superfluous bracket",
}


@dataclass(frozen=True)
class Document:
    """A JSON text that was read. Its lines are counted when they are first needed."""

    value: Any
    text: str = field(repr=False)
    file: str | None = None
    problems: tuple[Problem, ...] = ()
    """Problems of the text that don't prevent reading it: repeated keys."""

    @property
    def flow_id(self) -> str | None:
        """The id that a flow's document has; None if it has none, whatever it is."""
        found = self.value.get("id") if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        return {pointer: (line, column) for pointer, line, column in places(self.text)}

    def line(self, pointer: str) -> int:
        """The line of the value at a pointer, or of the innermost existing value around it."""
        return self._place(pointer)[0]

    def _place(self, pointer: str) -> tuple[int, int]:
        return self._places.get(self._existing(pointer), (1, 1))

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with their file, line and column, in the order of the text.

        A problem of a value that doesn't exist is placed at the innermost existing value around it.
        """
        return sorted(map(self._placed, problems), key=lambda problem: problem.line or 0)

    def _placed(self, problem: Problem) -> Problem:
        pointer = self._existing(problem.pointer)
        if problem.line is not None:
            return replace(problem, pointer=pointer, file=self.file)
        line, column = self._place(pointer)
        return replace(problem, pointer=pointer, file=self.file, line=line, column=column)

    def _existing(self, pointer: str) -> str:
        while pointer and pointer not in self._places:
            pointer = pointer.rpartition("/")[0]
        return pointer


def too_large(data: bytes) -> str | None:
    """The problem with the size of a document, as a sentence; None if it fits."""
    size = len(data) if len(data) <= MAX_DOCUMENT else len(data.translate(None, b" \t\r\n"))
    if size <= MAX_DOCUMENT:
        return None
    return f"a document has at most {MAX_DOCUMENT:,} bytes besides white space; this one has {size:,}"


def read(data: bytes, file: str | None = None) -> Document:
    """Read a JSON document. A UTF-8 byte order mark is ignored.

    Raises FlowInvalid, with line and column, if it isn't JSON; also if it is too large.
    """
    if wrong := too_large(data):
        problem = Problem(wrong, code="too_large", remedy="split the flow: a step can call another flow", file=file)
        raise FlowInvalid([problem])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid("the file is not UTF-8", "save the file as UTF-8", file, line) from error
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
        message = f"the text is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        remedy = _REMEDIES.get(error.msg, "correct the text there")
        raise _invalid(message, remedy, file, error.lineno, error.colno) from error
    except (ValueError, RecursionError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _invalid(f"the text has a value that can't be used: {cause}", "correct the value", file, None) from error
    return Document(value, text, file, tuple(_repeated_keys(text, file)) if repeated else ())


def _invalid(message: str, remedy: str, file: str | None, line: int | None, column: int | None = None) -> FlowInvalid:
    return FlowInvalid([Problem(message, code="syntax", remedy=remedy, file=file, line=line, column=column)])


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _fraction(text: str) -> float | Decimal:
    number = fraction(text)
    if float(number) in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large")
    return number


def _check(text: str, value: Any) -> None:
    """Raise ValueError for values that a decoder accepts but an encoder rejects."""
    # The number of brackets is an upper bound of the depth; only texts above it are measured.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if "\\u" in text:
        try:
            encode(value)
        except UnicodeEncodeError as error:
            raise ValueError("a string contains half of a surrogate pair") from error


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
    for pointer, line, column in places(text):
        if pointer in seen:
            yield Problem(
                f"the key {pointer.rpartition('/')[2]!r} appears twice, first in line {seen[pointer]}",
                pointer,
                code="duplicate_key",
                remedy="remove one of the two",
                file=file,
                line=line,
                column=column,
            )
        seen.setdefault(pointer, line)
