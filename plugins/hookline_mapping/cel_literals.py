"""CEL's literals."""

import re
from typing import Any, Final

from hookline.api import ExpressionSyntax
from hookline_mapping.decimals import read

LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1

_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xX]([0-9A-Fa-f]{2})|([0-3][0-7]{2})|(.)?)", re.DOTALL
)
_SINGLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    "'": "'",
    '"': '"',
    "`": "`",
}


def literal(kind: str, text: str, *, exact: bool) -> Any:
    """The value of a literal; `kind` is its name in the grammar. Raises ExpressionSyntax."""
    match kind:
        case "INT_LIT":
            return _whole(text)
        case "FLOAT_LIT":
            return read(text) if exact else float(text)
        case "STRING_LIT" | "MLSTRING_LIT":
            return _text(text)
        case "BOOL_LIT":
            return text == "true"
        case "NULL_LIT":
            return None
        case "UINT_LIT":
            raise ExpressionSyntax(f"{text}: JSON has no unsigned numbers; leave the u out")
        case _:
            raise ExpressionSyntax(f"{text[:40]}: JSON has no bytes")


def _whole(text: str) -> int:
    if len(text) > 40:
        raise ExpressionSyntax(f"{text[:40]}… is no number of 64 bits")
    made = int(text, 16 if "x" in text.lower() else 10)
    if not LEAST <= made <= MOST:
        raise ExpressionSyntax(f"{text} is no number of 64 bits")
    return made


def _text(text: str) -> str:
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    quotes = 3 if text[:3] in ('"""', "'''") and len(text) >= 6 else 1
    inner = text[quotes:-quotes]
    return inner if raw else _ESCAPE.sub(_unescaped, inner)


def _unescaped(found: re.Match[str]) -> str:
    short, long, byte, octal, single = found.groups()
    code = short or long or byte
    if code is not None or octal is not None:
        number = int(code, 16) if code is not None else int(octal, 8)
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise ExpressionSyntax(f"{found[0]} is no character")
        return chr(number)
    if single not in _SINGLE:
        raise ExpressionSyntax(f"{found[0]} is no escape; a backslash is written twice")
    return _SINGLE[single]
