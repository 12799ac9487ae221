"""Where in a JSON text each of its values stands.

Parsers give the values without their places; those that keep places are slow, and places are asked for only when
something is wrong. So a text that is known to be JSON is gone over once more, by its tokens.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def escape(part: str | int) -> str:
    """A key or an index as a part of a JSON pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def unescape(part: str) -> str:
    """A part of a JSON pointer as the key that it stands for."""
    return part.replace("~1", "/").replace("~0", "~")


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
