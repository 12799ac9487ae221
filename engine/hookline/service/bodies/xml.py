"""XML bodies by xmltodict: attributes are `@name`, text is `#text`. No DTD, so no entities; nesting is bounded."""

from collections.abc import Callable
from typing import Any
from xml.parsers import expat

import xmltodict

from hookline.errors import Malformed
from hookline.jsontypes import MAX_DEPTH
from hookline.service.bodies.received import Received
from hookline.service.bodies.text import decode_text


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
    # expat knows few encodings itself: a charset from outside is decoded here.
    text = data if charset is None else decode_text(data, charset).encode()
    try:
        value = xmltodict.parse(
            text, encoding=None if charset is None else "utf-8", expat=_GuardedExpat, force_list=force_list
        )
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Malformed(f"the body is not XML: {error}") from None
    return Received(value, raw=data)
