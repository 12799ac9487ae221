"""Lists of properties: urlencoded forms, and queries."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from hookline.bodies.json import Room, deeper_than, read_json
from hookline.bodies.merge_runtime_bodies_nested import collect_nested
from hookline.bodies.merge_runtime_bodies_received import Received
from hookline.bodies.text import decode_text, known_charset
from hookline.kernel.errors import Malformed
from hookline.kernel.json import MAX_DEPTH

MAX_PROPERTIES: Final = 10_000


class Naming(msgspec.Struct, frozen=True):
    """What the names of properties say, besides naming them."""

    nested: bool = False
    """Brackets in them stand for objects and lists."""
    json: frozenset[str] = frozenset()
    """Those whose values are JSON texts."""
    exact: bool = False
    """Fractions in those are Decimals."""


PLAIN: Final = Naming()


def collect(pairs: Sequence[tuple[str, Any]], naming: Naming = PLAIN) -> dict[str, Any]:
    """An object of properties; one that comes more than once is a list. Raises Malformed, and TooLarge as JSON does."""
    if naming.json:
        exact, room = naming.exact, Room()
        pairs = [
            (name, _from_json(name, value, exact, room) if name in naming.json else value) for name, value in pairs
        ]
    body = collect_nested(pairs) if naming.nested else _collect_plain(pairs)
    # JSON in fields comes on top of what the names nest.
    if deeper_than(body, MAX_DEPTH):
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
    return body


def _from_json(name: str, value: Any, exact: bool, room: Room) -> Any:
    if not isinstance(value, str):
        return value
    return read_json(value.encode(), None, f"the field {name[:80]!r}", exact=exact, room=room).body


def _collect_plain(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
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


def read_properties(data: bytes, charset: str | None, what: str = "the body", naming: Naming = PLAIN) -> dict[str, Any]:
    """The properties of an urlencoded text. Raises Malformed and TooLarge."""
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
    return collect(pairs, naming)


def read_form(data: bytes, charset: str | None, naming: Naming = PLAIN) -> Received:
    """An urlencoded body."""
    return Received(read_properties(data, charset, naming=naming), raw=data)


def lenient_query(query: bytes) -> dict[str, Any]:
    """The query of a request whose body is elsewhere. What can't be read is replaced; what is too much is left out."""
    text = query.decode("utf-8", "replace")
    pieces = text.split("&", MAX_PROPERTIES)[:MAX_PROPERTIES]
    return collect(parse_qsl("&".join(pieces), keep_blank_values=True, errors="replace"))
