"""XML bodies by xmltodict: attributes are `@name`, text is `#text`. No DTD, so no entities; nesting is bounded."""

import re
from collections.abc import Callable
from typing import Any, Final
from xml.parsers import expat

import xmltodict

from hookline.errors import Malformed
from hookline.jsontypes import MAX_DEPTH
from hookline.service.bodies.received import Received
from hookline.service.bodies.text import decode_text, known_charset

#: The document's own declaration, where its bytes are those of ASCII: then they are no UTF-16.
_DECLARED: Final = re.compile(rb"""\s*<\?xml\s[^>]{0,100}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,60})["']""")
_READ_BY_EXPAT: Final = ("utf-8", "ascii", "iso8859-1")


class _GuardedParser:
    """An expat parser that refuses a DOCTYPE and deep nesting as soon as it meets them.

    xmltodict sets its handlers as attributes; those of elements are wrapped on their way to expat.
    """

    def __init__(self, encoding: str | None, namespace_separator: str | None) -> None:
        parser = expat.ParserCreate(encoding, namespace_separator)
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.__dict__["_parser"] = parser
        self.__dict__["_depth"] = 0
        self.Parse = parser.Parse

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "Parse":
            self.__dict__[name] = value
            return
        wrap = {"StartElementHandler": self._deeper, "EndElementHandler": self._back}.get(name)
        setattr(self.__dict__["_parser"], name, wrap(value) if wrap else value)

    def _deeper(self, handler: Callable[..., None]) -> Callable[..., None]:
        def start(name: str, attributes: Any) -> None:
            self.__dict__["_depth"] += 1
            if self.__dict__["_depth"] > MAX_DEPTH:
                raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
            handler(name, attributes)

        return start

    def _back(self, handler: Callable[..., None]) -> Callable[..., None]:
        def end(name: str) -> None:
            self.__dict__["_depth"] -= 1
            handler(name)

        return end

    @staticmethod
    def _refuse_doctype(*_: object) -> None:
        raise Malformed("the body has a DOCTYPE; XML is taken without one")


class _GuardedExpat:
    """Stands for the module that xmltodict makes its parsers with."""

    ParserCreate = _GuardedParser


def read_xml(data: bytes, charset: str | None, force_list: tuple[str, ...]) -> Received:
    """The value of an XML text; an empty one is null. Raises Malformed.

    `charset`: that of the Content-Type, which counts more than the document's own declaration.
    """
    if not data:
        return Received(None, raw=data)
    text, encoding = _readable(data, charset)
    try:
        value = xmltodict.parse(text, encoding=encoding, expat=_GuardedExpat, force_list=force_list)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Malformed(f"the body is not XML: {error}") from None
    return Received(value, raw=data)


def _readable(data: bytes, charset: str | None) -> tuple[bytes, str | None]:
    """The text, and the encoding that counts whatever the document declares.

    expat knows few encodings itself, and none of several bytes but Unicode's: others are decoded here.
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
    # Senders that write to a string of UTF-16 declare it, and then send UTF-8: else the declaration couldn't be read.
    if codec is not None and codec.startswith(("utf-16", "utf-32")):
        return data, "utf-8"
    return decode_text(data, name).encode(), "utf-8"
