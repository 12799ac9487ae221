"""The lines of a file, read in pages."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, TextIO

from hookline.api import JsonValue, StepError, decode_json
from hookline_files.file_actions.root import rejected

LONGEST: Final = 10_000_000
"""The most characters of a line; a file with longer ones is not a file of lines."""
#: The number of characters that are read at once.
_AT_ONCE: Final = 256 * 1024


async def lines_of(place: Path, path: str, encoding: str, *, as_json: bool, exact: bool) -> AsyncIterator[JsonValue]:
    """Yield the lines of a file as texts, without their ends, or as JSON values, without blank lines.

    Raises StepError (`file.system`, `file.encoding`, `file.content`), which names the line.
    """
    try:
        file = await asyncio.to_thread(place.open, encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    except OSError as error:
        raise rejected(path, error) from error
    number = 0
    with file:
        while some := await asyncio.to_thread(_some, file, path, number):
            for line in some:
                number += 1
                text = line.removesuffix("\n")
                if not as_json:
                    yield text
                elif text.strip():
                    yield _value(text, path, number, exact=exact)


def _some(file: TextIO, path: str, before: int) -> list[str]:
    lines: list[str] = []
    size = 0
    try:
        while size < _AT_ONCE and (line := file.readline(LONGEST + 1)):
            if len(line) > LONGEST:
                raise StepError(
                    f"{path!r}: line {before + len(lines) + 1} is longer than {LONGEST} characters",
                    code="file.too_large",
                )
            lines.append(line)
            size += len(line)
    except UnicodeDecodeError as error:
        raise StepError(
            f"{path!r}: line {before + len(lines) + 1}, or one soon after it, is not {error.encoding}",
            code="file.encoding",
        ) from error
    except OSError as error:
        raise rejected(path, error) from error
    return lines


def _value(text: str, path: str, number: int, *, exact: bool) -> JsonValue:
    try:
        made: JsonValue = decode_json(text.encode(), exact=exact)
    except (ValueError, RecursionError) as error:
        raise StepError(f"{path!r}: line {number} is not JSON: {error}", code="file.content") from error
    return made
