"""Texts that a terminal shows and does not obey: parts of them come from senders, authors and servers."""

import re
from typing import Any, Final

from hookline.kernel.json import encode

_STYLE: Final = re.compile(r"(\x1b\[(?:0|1|3[0-7])m)")
"""Bold, the colours, and their end: the styles of tables."""
_ACTS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Controls besides tabs and ends of lines, and characters that reorder the text around them."""


def printable(text: str) -> str:
    """Return a text as one line without control characters."""
    return "".join(one if one.isprintable() else _escaped(ord(one)) for one in text)


def harmless(text: str) -> str:
    """Return a text of lines in which nothing acts in a terminal but the styles of tables."""
    return "".join(part if index % 2 else _written(part) for index, part in enumerate(_STYLE.split(text)))


def json_line(value: Any) -> str:
    """Return a value as JSON in which nothing acts in a terminal. It means the same."""
    return _written(encode(value).decode())


def size_text(size: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _written(text: str) -> str:
    # In JSON, these characters are in strings, where this form means the same.
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(code: int) -> str:
    """Return a character as Python writes it: each form has a fixed number of digits, so later digits stay apart."""
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
