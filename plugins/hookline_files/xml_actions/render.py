"""The action `xml.render`."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Annotated, Final
from xml.parsers import expat

from pydantic import Field

from hookline.api import Encoding, JsonValue, StepError, encode_json
from hookline_files.connectors import xml as xml_connector
from hookline_files.rendering_thread import offloaded

MAX_VALUES: Final = 500_000
"""The most elements and attributes, as in XML that is read."""
MAX_NAMES: Final = 50_000_000
"""The most characters in all names, because a list repeats its key for each of its elements."""
_DEPTH: Final = 128
_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:.-]*")
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_IN_TEXT: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_IN_ATTRIBUTES: Final = {**_IN_TEXT, ord('"'): "&quot;", ord("\t"): "&#9;", ord("\n"): "&#10;"}


@xml_connector.action(pure=True)
async def render(
    value: Annotated[
        JsonValue, Field(description="The value to write: an object whose only key is the name of the root element.")
    ],
    root: Annotated[
        str | None, Field(description="The name of the root element, if `value` has only its content.")
    ] = None,
    declaration: Annotated[bool, Field(description='Also write the declaration `<?xml version="1.0" …?>`.')] = True,
    encoding: Annotated[
        Encoding,
        Field(
            description="The encoding in the declaration, for a file that is written with it; letters that it lacks "
            "become references (`&#8364;`)."
        ),
    ] = "utf-8",
) -> str:
    """Write a value as XML: the inverse of `xml.parse`.

    A key is an element, `@name` an attribute and `#text` the text beside them. A list becomes one element of its key's
    name for each item, so an empty list becomes none. Null is an empty element; true, false and numbers are written as
    in JSON. The XML has at most 500,000 elements and attributes, 50,000,000 characters in their names, and 128 levels.
    """
    write = partial(_Writer(encoding).document, value, root, declaration=declaration)
    return await offloaded(write, value)


class _Writer:
    """Writes one document, and counts what it writes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._left = MAX_VALUES
        self._room = MAX_NAMES
        self._names: set[str] = set()
        self._parts: list[str] = []

    def document(self, value: JsonValue, root: str | None, *, declaration: bool) -> str:
        if root is not None:
            value = {root: value}
        if not isinstance(value, dict) or len(value) != 1:
            raise StepError(
                "XML has one root element: give an object with one key, or set the name of the element as `root`",
                code="xml.root",
            )
        ((name, content),) = value.items()
        if isinstance(content, list) or name.startswith(("@", "#")):
            raise StepError(
                f"the root {name[:100]!r} must be one element, not a list, an attribute or a text", code="xml.root"
            )
        self._element(name, content, 1, name)
        encoding = self._encoding
        if declaration:
            self._parts.insert(0, f'<?xml version="1.0" encoding="{encoding}"?>\n')
        text = "".join(self._parts)
        return text if encoding.startswith("utf") else text.encode(encoding, "xmlcharrefreplace").decode(encoding)

    def _element(self, name: str, value: JsonValue, depth: int, place: str) -> None:
        if depth > _DEPTH:
            raise StepError(f"…{place[-100:]} is nested deeper than {_DEPTH} levels", code="xml.value")
        self._count(2 * len(name))
        self._check_name(name, place)
        parts = self._parts
        parts.append(f"<{name}")
        if not isinstance(value, dict):
            text = self._scalar(value, place)
            parts.append("/>" if text is None else f">{text.translate(_IN_TEXT)}</{name}>")
            return
        for key, item in value.items():
            if key.startswith("@"):
                self._count(len(key))
                self._check_name(key[1:], _within(place, key))
                text = self._scalar(item, _within(place, key))
                parts.append(f' {key[1:]}="{(text or "").translate(_IN_ATTRIBUTES)}"')
        at = len(parts)
        parts.append(">")
        text = self._scalar(value.get("#text"), _within(place, "#text"))
        if text is not None:
            parts.append(text.translate(_IN_TEXT))
        for key, item in self._children(value):
            self._element(key, item, depth + 1, _within(place, key))
        if len(parts) == at + 1:
            parts[at] = "/>"
        else:
            parts.append(f"</{name}>")

    def _children(self, value: dict[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
        for key, item in value.items():
            if key == "#text" or key.startswith("@"):
                continue
            for one in item if isinstance(item, list) else (item,):
                yield key, one

    def _count(self, size: int) -> None:
        self._left -= 1
        self._room -= size
        if self._room < 0:
            raise StepError(
                f"the names of the elements and attributes have more than {MAX_NAMES:,} characters; use shorter keys",
                code="xml.too_large",
            )
        if self._left < 0:
            raise StepError(
                f"there are more than {MAX_VALUES:,} elements and attributes; write several documents",
                code="xml.too_large",
            )

    def _scalar(self, value: JsonValue, place: str) -> str | None:
        match value:
            case None:
                return None
            case str():
                if _NO_XML.search(value):
                    raise StepError(
                        f"{place[-200:]} contains a character that XML doesn't allow; remove it", code="xml.value"
                    )
                return value
            case bool() | int() | float() | Decimal():
                return encode_json(value).decode()
            case _:
                what = "a list in a list" if isinstance(value, list) else "an object"
                raise StepError(f"{place[-200:]} contains {what}, which has no form in XML", code="xml.value")

    def _check_name(self, name: str, place: str) -> None:
        if name in self._names:
            return
        if len(name) > 1000 or not (_NAME.fullmatch(name) or _is_name(name)):
            raise StepError(f"{place[-200:]!r}: {name[:100]!r} can't be a name in XML; rename the key", code="xml.name")
        try:
            name.encode(self._encoding)
        except UnicodeEncodeError:
            # References are only possible in texts.
            raise StepError(
                f"{place[-200:]!r}: {self._encoding} lacks a letter of the name {name[:100]!r}; use utf-8",
                code="xml.name",
            ) from None
        self._names.add(name)


def _within(place: str, key: str) -> str:
    """Return the place of a key, shortened if it is deep."""
    return f"{place[-100:]}.{key[:100]}"


def _is_name(name: str) -> bool:
    """Return true for a name in another script, according to the parser."""
    if not name or _NO_XML.search(name) or not name.isprintable() or set(" <>&/='\"?!") & set(name):
        return False
    try:
        expat.ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True)
    except expat.ExpatError:
        return False
    return True
