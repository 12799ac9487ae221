"""Lists of properties: urlencoded forms, and queries."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from hookline.errors import Malformed
from hookline.service.bodies.nested import collect_nested
from hookline.service.bodies.received import Received
from hookline.service.bodies.text import decode_text, known_charset

MAX_PROPERTIES: Final = 10_000


def collect(pairs: Sequence[tuple[str, Any]], *, nested: bool = False) -> dict[str, Any]:
    """An object of properties; one that comes more than once is a list. Raises Malformed where names are nested."""
    if nested:
        return collect_nested(pairs)
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif name in repeated:
            found[name].append(value)
        else:
            found[name] = [found[name], value]
            repeated.add(name)
    return found


def read_properties(
    data: bytes, charset: str | None, what: str = "the body", *, nested: bool = False
) -> dict[str, Any]:
    """The properties of an urlencoded text. Raises Malformed."""
    if data.count(b"&") >= MAX_PROPERTIES:
        raise Malformed(f"{what} has more than {MAX_PROPERTIES} properties")
    text = decode_text(data, charset, what)
    encoding = "utf-8" if charset is None else known_charset(charset) or "utf-8"
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding=encoding, errors="strict")
        # Some charsets let lone surrogates through, which JSON can't say.
        if encoding != "utf-8":
            "".join(part for pair in pairs for part in pair).encode()
    except (UnicodeError, ValueError) as error:
        raise Malformed(f"{what} is not urlencoded: {error}") from None
    return collect(pairs, nested=nested)


def read_form(data: bytes, charset: str | None, *, nested: bool = False) -> Received:
    """An urlencoded body."""
    return Received(read_properties(data, charset, nested=nested), raw=data)


def lenient_query(query: bytes) -> dict[str, Any]:
    """The query of a request whose body is elsewhere. What can't be read is replaced; what is too much is left out."""
    text = query.decode("utf-8", "replace")
    pieces = text.split("&", MAX_PROPERTIES)[:MAX_PROPERTIES]
    return collect(parse_qsl("&".join(pieces), keep_blank_values=True, errors="replace"))
