"""The lines of a text in CSV."""

from collections.abc import Iterator
from typing import Final

LONGEST: Final = 1_000_000
"""The most characters of a line with its end: while the standard library splits one, no other thread runs."""


def lines_of(text: str) -> Iterator[str]:
    r"""Yield the lines of a text with their ends, which are `\n`, `\r` or `\r\n`.

    A file in memory would copy the text, with 4 bytes a letter.
    """
    start, size = 0, len(text)
    newline = carriage_return = -1
    while start < size:
        # Each is looked for again only when it is passed, so the text is read twice, however many lines it has.
        if newline < start:
            newline = _place(text, "\n", start)
        if carriage_return < start:
            carriage_return = _place(text, "\r", start)
        end = newline if newline <= carriage_return + 1 else carriage_return
        yield text[start : end + 1]
        start = end + 1


def _place(text: str, end: str, start: int) -> int:
    found = text.find(end, start)
    return len(text) if found == -1 else found
