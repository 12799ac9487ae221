"""Tables that fit a terminal: ids, names and times are never broken, and nothing is left out.

Piped output is for other programs: it has full ids, and its lines aren't broken.
"""

import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import click

from hookline.cli.printable_text import printable

_GAP: Final = "  "
_LEAST: Final = 24
"""The fewest characters of a line that a column of text takes; with fewer, texts go below their rows."""
_INDENT: Final = "    "
_SHORTEST: Final = 8
"""The fewest characters of a shortened id: the last ones, since ids of one time begin alike."""

#: A time, whose parts of a second aren't shown in a terminal.
_TIME: Final = re.compile(r"\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z\Z")

#: Colours of values by their column.
_STYLES: Final[Mapping[str, Mapping[str, str]]] = {
    "state": {
        "active": "green",
        "paused": "yellow",
        "stopped": "yellow",
        "broken": "red",
        "queued": "blue",
        "running": "cyan",
        "waiting": "yellow",
        "succeeded": "green",
        "failed": "red",
        "cancelled": "magenta",
    },
}


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: Collection[str] = (),
    ids: Collection[str] = (),
) -> str:
    """Return rows as aligned text; the values of some columns are coloured in a terminal.

    In a terminal, the ids of the columns `ids` are shortened. If the table is too wide for it, the columns `texts` are
    broken into lines, or else written below their rows; a table that is still too wide has a line for each value.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        return "\n".join(_aligned(columns, cells, _widths(columns, cells)))
    width = shutil.get_terminal_size().columns
    cells = [[_TIME.sub(r"\1Z", cell) for cell in row] for row in cells]
    for index in (columns.index(one) for one in ids):
        for row, short in zip(cells, shortened([row[index] for row in cells]), strict=True):
            row[index] = short
    return "\n".join(_fitted(columns, cells, texts, width)) + ("" if cells else "\n(none)")


def shortened(ids: Sequence[str]) -> list[str]:
    """Return the last characters of ids: as few as tell them apart, and at least 8."""
    distinct = set(ids)
    longest = max(map(len, distinct), default=0)
    for length in range(_SHORTEST, longest):
        if len({one[-length:] for one in distinct}) == len(distinct):
            return [one[-length:] for one in ids]
    return list(ids)


def _fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str], width: int) -> Iterator[str]:
    widths = _widths(columns, rows)
    if _total(widths) <= width:
        return iter(_aligned(columns, rows, widths))
    folded = [index for index, name in enumerate(columns) if name in texts]
    fixed = [index for index in range(len(columns)) if index not in folded]
    left = width - _total([widths[index] for index in fixed]) - len(_GAP) * len(folded)
    if folded and left >= _LEAST * len(folded):
        for position, index in enumerate(sorted(folded, key=lambda index: widths[index])):
            # The shortest text comes first, so that its rest is left to the longer ones.
            widths[index] = min(widths[index], left // (len(folded) - position))
            left -= widths[index]
        return iter(_aligned(columns, rows, widths))
    if _total([widths[index] for index in fixed]) <= width:
        return _below(columns, rows, widths, fixed, folded, width)
    return _listed(columns, rows, width)


def _below(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    fixed: Sequence[int],
    folded: Sequence[int],
    width: int,
) -> Iterator[str]:
    """Yield the lines of a table whose texts are below their rows."""
    shown = [widths[index] for index in fixed]
    lines = iter(
        _aligned([columns[index] for index in fixed], [[row[index] for index in fixed] for row in rows], shown)
    )
    yield next(lines)
    for row, line in zip(rows, lines, strict=True):
        yield line
        for index in folded:
            text = row[index] if len(folded) == 1 or not row[index] else f"{columns[index]}: {row[index]}"
            if text:
                yield from (f"{_INDENT}{part}" for part in _folded(text, width - len(_INDENT)))


def _listed(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield a line for each value; a value that is too long is broken unless it is a word."""
    names = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, cell in zip(columns, row, strict=True):
            first, *rest = _folded(cell, max(_LEAST, width - names - len(_GAP)), words=True) or [""]
            yield f"{name:<{names}}{_GAP}{_styled(name, first)}".rstrip()
            yield from (f"{'':<{names}}{_GAP}{part}" for part in rest)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    bold = {"bold": True} if sys.stdout.isatty() else {}
    yield _line([_padded(one, size) for one, size in zip(columns, widths, strict=True)], **bold)
    for row in rows:
        parts = [_folded(cell, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(1, *map(len, parts))):
            yield _line(
                [
                    _styled(name, part[number], size) if number < len(part) else " " * size
                    for name, part, size in zip(columns, parts, widths, strict=True)
                ]
            )


def _line(cells: Sequence[str], **style: bool) -> str:
    line = _GAP.join(cells).rstrip()
    return click.style(line, **style) if style else line


def _styled(column: str, text: str, width: int = 0) -> str:
    colour = _STYLES.get(column, {}).get(text) if sys.stdout.isatty() else None
    padded = _padded(text, width)
    return padded if colour is None else click.style(padded, fg=colour)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(_cells(one) for one in (name, *(row[index] for row in rows))) for index, name in enumerate(columns)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * max(0, len(widths) - 1)


def _cells(text: str) -> int:
    """Return the width of a text in a terminal, where some characters take two places."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _folded(text: str, width: int, *, words: bool = False) -> list[str]:
    """Return a text as lines, broken between words; a longer word is broken too, unless `words` are kept."""
    if _cells(text) <= width:
        return [text]
    from rich.cells import chop_cells

    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if _cells(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        parts = [word] if words or _cells(word) <= width else chop_cells(word, width)
        lines += parts[:-1]
        line = parts[-1] if parts else ""
    return [*lines, line]
