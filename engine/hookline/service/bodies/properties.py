"""Lists of properties: urlencoded forms, and queries."""

from typing import Any, Final
from urllib.parse import parse_qsl

from hookline.errors import Malformed
from hookline.service.bodies.received import Received
from hookline.service.bodies.text import decode_text

MAX_PROPERTIES: Final = 10_000


def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of properties; one that comes more than once is a list."""
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


def read_properties(data: bytes, charset: str | None, what: str = "the body") -> dict[str, Any]:
    """The properties of an urlencoded text. Raises Malformed."""
    if data.count(b"&") >= MAX_PROPERTIES:
        raise Malformed(f"{what} has more than {MAX_PROPERTIES} properties")
    text = decode_text(data, charset, what)
    try:
        return collect(parse_qsl(text, keep_blank_values=True, encoding=charset or "utf-8", errors="strict"))
    except (UnicodeError, ValueError) as error:
        raise Malformed(f"{what} is not urlencoded: {error}") from None


def read_form(data: bytes, charset: str | None) -> Received:
    """An urlencoded body."""
    return Received(read_properties(data, charset), raw=data)


def lenient_query(query: bytes) -> dict[str, Any]:
    """The query of a request whose body is elsewhere. What can't be read is replaced; what is too much is left out."""
    text = query.decode("utf-8", "replace")
    pieces = text.split("&", MAX_PROPERTIES)[:MAX_PROPERTIES]
    return collect(parse_qsl("&".join(pieces), keep_blank_values=True, errors="replace"))
