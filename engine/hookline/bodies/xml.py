"""XML bodies, read by xmltodict: attributes are `@name`, text is `#text`. DTDs are rejected and nesting is limited."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from xml.parsers import expat

import xmltodict

from hookline.bodies.json import Room
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text, known_charset
from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import MAX_DEPTH

#: The document's own declaration, if its bytes are ASCII, and not UTF-16.
_DECLARED: Final = re.compile(rb"""\s*<\?xml\s[^>]{0,100}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,60})["']""")
MAX_VALUES: Final = 500_000
"""The most elements and attributes in one body. xmltodict takes two to four microseconds for each."""
_INLINE: Final = 20_000
"""The number that is read without a pause: more than a body that is read in the event loop can have."""
_BETWEEN_PAUSES: Final = 1000
_PAUSE: Final = 0.00005
"""Seconds of a pause. Without pauses, the event loop would get the interpreter's lock back only every 5 ms, and it
gives the lock away at each read and write of a socket."""
#: The bytes that expat reads at once while it holds that lock: a tag and the text after it.
_LONG_TAG: Final = re.compile(rb"<[^<]{500000,}")
_MAX_ATTRIBUTES: Final = 100_000
"""The most bytes in one tag."""
_CHUNK: Final = 2**20
"""The bytes that expat is given at once. While a tag isn't closed, it reads it again from its start with each chunk."""
MAX_TAG: Final = 4 * 2**20
"""The most bytes of one tag, comment or processing instruction: the time for a longer one would grow as its square."""
_READ_BY_EXPAT: Final = ("utf-8", "ascii", "iso8859-1")


class _GuardedParser:
    """An expat parser that rejects a DOCTYPE, deep nesting and too many values at once.

    xmltodict sets its handlers as attributes; the handlers of elements are wrapped.
    """

    __slots__ = ("_counted", "_depth", "_parser", "_rest", "_room", "_values")

    _OWN: Final = frozenset(__slots__)

    def __init__(self, room: Room, encoding: str | None, namespace_separator: str | None) -> None:
        self._parser = expat.ParserCreate(encoding, namespace_separator)
        self._parser.StartDoctypeDeclHandler = _reject_doctype
        self._room = room
        self._depth = 0
        self._values = 0
        self._counted = 0
        """How many of them `room` has counted."""
        self._rest = min(_INLINE, MAX_VALUES)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            object.__setattr__(self, name, value)
            return
        wrap = {"StartElementHandler": self._deeper, "EndElementHandler": self._back}.get(name)
        setattr(self._parser, name, wrap(value) if wrap else value)

    def Parse(self, data: bytes, is_final: bool) -> None:  # noqa: N802 - expat's
        end = 0
        while (start := end) < len(data):
            end = min(start + _CHUNK, len(data))
            self._parser.Parse(data[start:end], False)
            if end - self._parser.CurrentByteIndex > MAX_TAG:
                raise TooLarge(
                    f"the body has a tag, a comment or a processing instruction of more than {MAX_TAG:,} bytes; "
                    "put long content into the text of an element"
                )
        self._parser.Parse(b"", is_final)

    def _deeper(self, handler: Callable[..., None]) -> Callable[..., None]:
        def start(name: str, attributes: list[str]) -> None:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
            # Each attribute has a name and a value.
            self._values += 1 + len(attributes) // 2
            if self._values > self._rest:
                self._pause()
            handler(name, attributes)

        return start

    def count(self) -> None:
        """Count the values since the last time."""
        self._room.count(self._values - self._counted)
        self._counted = self._values

    def _pause(self) -> None:
        if self._values > MAX_VALUES:
            raise _too_many()
        self.count()
        time.sleep(_PAUSE)
        self._rest = min(self._values + _BETWEEN_PAUSES, MAX_VALUES)

    def _back(self, handler: Callable[..., None]) -> Callable[..., None]:
        def end(name: str) -> None:
            self._depth -= 1
            handler(name)

        return end


def _reject_doctype(*_: object) -> None:
    raise Malformed("the body has a DOCTYPE; XML is taken without one")


def _too_many() -> TooLarge:
    return TooLarge(f"the body has more than {MAX_VALUES:,} elements and attributes; send it as a file, or in parts")


class _GuardedExpat:
    """A replacement for the module with which xmltodict creates its parser."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.parser: _GuardedParser | None = None

    def ParserCreate(self, encoding: str | None, namespace_separator: str | None) -> _GuardedParser:  # noqa: N802 - expat's
        self.parser = _GuardedParser(self._room, encoding, namespace_separator)
        return self.parser


def read_xml(data: bytes, charset: str | None, force_list: tuple[str, ...], room: Room | None = None) -> Received:
    """Decode an XML text; a text of white space is null. Raises Malformed, and TooLarge above `MAX_VALUES`.

    `charset`: that of the Content-Type, which overrides the document's own declaration. `room` counts the elements and
    attributes.
    """
    if not data.lstrip(b" \t\r\n"):
        return Received(None, raw=data)
    # Ordinary XML has fewer attributes in a tag. Text and CDATA contain brackets, or no equals signs.
    if any(tag[0].count(b"=") > _MAX_ATTRIBUTES for tag in _LONG_TAG.finditer(data)):
        raise _too_many()
    text, encoding = _readable(data, charset)
    guarded = _GuardedExpat(room or Room())
    try:
        value = xmltodict.parse(
            text,
            encoding=encoding,
            expat=guarded,
            force_list=force_list,
            strip_whitespace=False,
            postprocessor=_without_layout,
        )
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Malformed(f"the body is not XML: {error}") from None
    if guarded.parser is not None:
        guarded.parser.count()
    return Received(value, raw=data)


def decode_xml(data: bytes, *, charset: str | None = None, force_list: Sequence[str] = ()) -> Any:
    """Decode an XML text from outside, by the rules and within the limits of bodies. Raises Malformed and TooLarge."""
    try:
        return read_xml(data, charset, tuple(force_list)).body
    except (Malformed, TooLarge) as error:
        raise type(error)(error.message.replace("the body", "the XML", 1)) from None


def _without_layout(_: object, name: str, value: Any) -> tuple[str, Any]:
    """Strip white space around text that stands beside elements; other text is kept."""
    if type(value) is dict and "#text" in value and any(key[0] not in "@#" for key in value):
        text = value["#text"].strip(" \t\r\n")
        if text:
            value["#text"] = text
        else:
            del value["#text"]
    return name, value


def _readable(data: bytes, charset: str | None) -> tuple[bytes, str | None]:
    """Return the text, and the encoding that overrides the document's declaration.

    expat knows few encodings, and no multi-byte ones except Unicode's: others are decoded here.
    """
    if charset is not None:
        return decode_text(data, charset).encode(), "utf-8"
    declared = _DECLARED.match(data)
    if declared is None:
        return data, None
    name = declared[1].decode("ascii")
    codec = known_charset(name)
    if codec in _READ_BY_EXPAT:
        return data, None
    # Programs that write to a UTF-16 string declare UTF-16, and then send UTF-8.
    if codec is not None and codec.startswith(("utf-16", "utf-32")):
        return data, "utf-8"
    return decode_text(data, name).encode(), "utf-8"
