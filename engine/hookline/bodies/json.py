"""JSON bodies: exact integers, limited nesting, and strict syntax."""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text, known_charset
from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import MAX_DEPTH, decode

_BOM: Final = codecs.BOM_UTF8
#: UTF-32 first, since its little-endian mark begins with that of UTF-16.
_WIDE_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAX_VALUES: Final = 1_000_000
"""The most values and keys in one body."""
MAX_CONTAINERS: Final = 250_000
"""The most lists and objects in one body: making one takes several times as long as making a number."""
MAX_DIGITS: Final = 500_000
"""The most digits of long integers in one body: writing one takes as long as the square of its length."""
_LONG: Final = 150
"""The digits of the shortest long integer."""
MAX_WIDE: Final = 100_000
"""The most integers of 20 digits and more in one body: one that doesn't fit into 64 bits takes three times as
long to read, and the interpreter's lock is held meanwhile."""
_WIDE: Final = 20
_TOO_LONG: Final = 4350
"""More digits than Python reads as an integer: they stand in a string."""
MAX_ZEROS: Final = 10_000_000
"""The largest sum of the exponents of exact fractions in one body."""
MAX_EXPONENTS: Final = 1_000_000
"""The largest sum of the exponents above 99 of other fractions: reading one near the ends of binary64 takes 8 µs."""
_FEW_EXPONENTS: Final = 1000
"""Exponents that are not looked at one by one."""
_ALWAYS_ROOM: Final = 4096
"""A text of at most this many bytes can't reach any of these bounds."""
#: A text in which each digit is a 0 and each mark between values a space; only what numbers are made of is kept.
_SHAPE: Final = bytes(
    48 if 48 <= byte <= 57 else 101 if byte in b"eE" else 43 if byte in b"+-" else 32 if byte in b"[,: \t\r\n" else 120
    for byte in range(256)
)
_LONE_HALF: Final = re.compile(
    rb"\\(?:[^u]|u(?![dD][89abAB])(?![dD][c-fC-F])|u[dD][89abAB]..\\u[dD][c-fC-F])|(\\u[dD][89a-fA-F]..)", re.DOTALL
)
"""Escapes in JSON strings; the group matches a lone half of a surrogate pair."""
_CUT_OFF: Final = re.compile(rb"(?:\\(?:u(?:[dD](?:[c-fC-F].?)?)?)?)?", re.DOTALL)
"""The end of a text after the first half of a surrogate pair, if the second half is missing."""
_REMEDY: Final = "send characters as UTF-8, or escaped whole"
_EXPONENT: Final = re.compile(rb"[0-9][eE][+-]?([0-9]+)")
_LARGE_EXPONENT: Final = re.compile(rb"[0-9][eE][+-]?([0-9]{3,}+)(?=[,\]} \t\r\n]|\Z)")
"""The end of a number with a large exponent; hexadecimal digits in a string don't end like one."""
_SLICE: Final = 250_000
"""Bytes that are searched at once, since a search holds the interpreter's lock."""


class Room:
    """The number of values that may still follow in a body whose parts are JSON."""

    __slots__ = ("_containers", "_digits", "_exponents", "_few", "_left", "_make_room", "_wide", "_zeros")

    def __init__(self, make_room: Callable[[int], None] | None = None) -> None:
        """`make_room`: called with the number of values that come next; raises an error if they have no room."""
        self._left = MAX_VALUES
        self._containers = MAX_CONTAINERS
        self._digits = MAX_DIGITS
        self._wide = MAX_WIDE
        self._few = _FEW_EXPONENTS
        self._exponents = MAX_EXPONENTS
        self._zeros = MAX_ZEROS
        self._make_room = make_room

    def count(self, values: int) -> None:
        """Count values of another form than JSON, which has limits of its own."""
        if self._make_room is not None:
            self._make_room(values)

    def take(self, text: bytes, what: str) -> int:
        """Take the room for a JSON text before its values are created; return the most brackets that it may open.

        Raises TooLarge if there isn't enough room.

        Millions of empty lists would block the loop and take memory for seconds. Commas, colons and brackets within
        strings are counted too, but no string has so many.
        """
        # Each value is the whole text, or the first in a list or object, or follows a comma; each key has a colon.
        brackets = text.count(b"[") + text.count(b"{")
        values = brackets + text.count(b",") + text.count(b":") + 1
        self._left -= values
        if self._left < 0:
            raise TooLarge(f"{what} has more than {MAX_VALUES:,} values and keys; send it as a file, or in parts")
        self._containers -= brackets
        if self._containers < 0:
            raise TooLarge(f"{what} has more than {MAX_CONTAINERS:,} lists and objects; send it as a file, or in parts")
        self.count(values)
        return brackets

    def take_numbers(self, text: bytes, what: str, *, exact: bool) -> None:
        """Take the room for long numbers and for exponents. Raises TooLarge if there isn't enough room."""
        shape = text.translate(_SHAPE)
        runs, strings = shape.count(b"0" * _LONG), shape.count(b"0" * _TOO_LONG)
        self._digits -= runs * _LONG - strings * _TOO_LONG
        if self._digits < 0:
            raise TooLarge(
                f"{what} has more than {MAX_DIGITS:,} digits in integers of {_LONG} digits and more; send them as texts"
            )
        # After a mark, and perhaps a sign: the digits of a text mostly follow a quote or letters.
        self._wide -= shape.count(b" " + b"0" * _WIDE) + shape.count(b" +" + b"0" * _WIDE)
        if self._wide < 0:
            raise TooLarge(f"{what} has more than {MAX_WIDE:,} integers of {_WIDE} digits and more; send them as texts")
        self._take_exponents(text, shape, what, exact=exact)

    def _take_exponents(self, text: bytes, shape: bytes, what: str, *, exact: bool) -> None:
        exponents = shape.count(b"0e")
        if exact:
            # `1e1000` takes six bytes, but a schema's `multipleOf` takes as long as for a thousand digits.
            for exponent in _found(_EXPONENT, text) if exponents else ():
                self._zeros -= exponent
                if self._zeros < 0:
                    raise _exponents(what)
            return
        if exponents > self._few:
            exponents = shape.count(b"0e000") + shape.count(b"0e+000")
        self._few -= exponents
        if self._few < 0:
            for exponent in _found(_LARGE_EXPONENT, text):
                self._exponents -= exponent
                if self._exponents < 0:
                    raise _exponents(what)


def _found(exponents: re.Pattern[bytes], text: bytes) -> Iterator[int]:
    """Yield the last four digits of each exponent in a text."""
    for start in range(0, len(text), _SLICE):
        # A number at the border may count twice. One with more than four digits is rejected when it is decoded.
        for exponent in exponents.finditer(text, max(0, start - _LONG), start + _SLICE):
            yield int(exponent[1][-4:])


def _exponents(what: str) -> TooLarge:
    return TooLarge(f"{what} has too many numbers with large exponents; write them out, or send it in parts")


def read_json(
    data: bytes,
    charset: str | None = None,
    what: str = "the body",
    *,
    exact: bool = False,
    room: Room | None = None,
) -> Received:
    """Decode a JSON text; a text of white space is null. Raises Malformed, and TooLarge above `MAX_VALUES`.

    The charset is that of a byte order mark, or else `charset`, that of the Content-Type, or else UTF-8. `exact`:
    fractions are Decimals. `room`: shared by the parts of one body.
    """
    text = _utf8(data, charset, what)
    if not text.lstrip(b" \t\r\n"):
        return Received(None, json=b"null", raw=data or None)
    if room is None and len(text) <= _ALWAYS_ROOM:
        brackets = text.count(b"[") + text.count(b"{")
    else:
        room = room or Room()
        brackets = room.take(text, what)
        room.take_numbers(text, what, exact=exact)
    try:
        value = decode(text, exact=exact)
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError as error:
        raise Malformed(f"{what} is not JSON: {_no_text(text, str(error)) or error}") from None
    # Only a text with that many opening brackets can be that deep, so most bodies only need the count.
    if brackets > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise _too_deep(what)
    return Received(value, json=text, raw=None if text is data else data)


def decode_outside(data: bytes, *, exact: bool = False) -> Any:
    """Decode a JSON text from outside: a file, or data in a message. With `exact`, fractions are Decimals.

    Raises RecursionError, and ValueError, also if there are more values, digits or exponents than a body may have.
    """
    try:
        check_room(data, "the text", exact=exact)
    except TooLarge as error:
        raise ValueError(str(error)) from None
    return decode(data, exact=exact)


def check_room(data: bytes, what: str, *, exact: bool) -> None:
    """Raise TooLarge for a JSON text with more values, digits and exponents than a body may have."""
    if len(data) <= _ALWAYS_ROOM:
        return
    room = Room()
    room.take(data, what)
    room.take_numbers(data, what, exact=exact)


def _utf8(data: bytes, charset: str | None, what: str) -> bytes:
    if data.startswith(_BOM):
        return data[3:]
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        named = next(name for mark, name in _WIDE_BOMS if data.startswith(mark))
        return decode_text(data, named, what).encode()
    if charset is None:
        return data
    # JSON defines no charset parameter, so an unknown one is ignored.
    codec = known_charset(charset)
    if codec in (None, "utf-8", "ascii"):
        return data
    if codec in ("utf-16", "utf-32"):
        # A JSON text begins with an ASCII character, so a leading zero byte means big-endian.
        codec += "-be" if data.startswith(b"\0") else "-le"
    return decode_text(data, codec, what).encode()


def _no_text(text: bytes, error: str) -> str | None:
    """Describe the part of a JSON text that stands for no character, and its place, if that is why it can't be decoded.

    The decoder reports a lone half of a surrogate pair only if much text follows, and otherwise that the text is cut
    off. For invalid UTF-8 it gives the position within the string.
    """
    if "utf-8" in error.lower():
        try:
            text.decode()
        except UnicodeDecodeError as fault:
            at = fault.start
            if text[at] == 0xED and text[at + 1 : at + 2] >= b"\xa0":
                return f"half of a surrogate pair stands alone at byte {at}; {_REMEDY}"
            return f"it is not UTF-8 at byte {at}; {_REMEDY}"
    if "surrogate" in error or "truncated" in error:
        for escape in _LONE_HALF.finditer(text):
            half = escape[1]
            if half is not None and _CUT_OFF.fullmatch(text, escape.end()) is None:
                shown = half.decode("ascii", "replace")
                return f"half of a surrogate pair, {shown}, stands alone at byte {escape.start()}; {_REMEDY}"
    return None


def deeper_than(value: Any, limit: int) -> bool:
    """Return true if lists and objects are nested deeper than a limit. It goes level by level, so it can't run out of
    stack."""
    level = [value] if type(value) in (dict, list) else []
    depth = 0
    while level:
        depth += 1
        if depth > limit:
            return True
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in (dict, list)
        ]
    return False


def _too_deep(what: str) -> Malformed:
    return Malformed(f"{what} is nested deeper than {MAX_DEPTH} levels")
