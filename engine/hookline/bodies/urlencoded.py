"""Properties of urlencoded forms and queries."""

from binascii import a2b_qp
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from hookline.bodies.json import Room, deeper_than, read_json
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text, known_charset
from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import MAX_DEPTH

MAX_PARTS: Final = 100_000
"""The most brackets in all names: each can create an object, which costs more than its bytes."""


class _Values:
    """All values of one whole name."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[Any] = []


class _Object:
    """`a[b]`, `a[0]`."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[str, _Node] = {}


class _List:
    """`a[]`."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[_Node] = []


_Node: TypeAlias = _Values | _Object | _List


def collect_nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Build the object that names with brackets describe; a name whose brackets don't match is a plain name.

    `a[b]` is a key, `a[]` appends to a list, and `a[0]`, `a[1]` are the items of a list if all numbers from 0 on are
    there. `a[][b]` continues the last item until it has a `b`, as in Rails. A repeated whole name is a list. Raises
    Malformed if a name is used in two ways, and for names with so many brackets that the object would be too deep.
    """
    root = _Object()
    parts = 0
    for name, value in pairs:
        # The outermost object is a level too.
        if name.count("[") >= MAX_DEPTH:
            raise Malformed(f"the property {name[:40]!r}… is nested deeper than {MAX_DEPTH} levels")
        path = _path(name)
        parts += len(path) - 1
        if parts > MAX_PARTS:
            raise Malformed(f"the names of the properties have more than {MAX_PARTS:,} pairs of brackets")
        _place(root, path, name).values.append(value)
    collected = _finish(root)
    # Names that are all numbers make a list, except for the body itself.
    return collected if isinstance(collected, dict) else {str(index): item for index, item in enumerate(collected)}


def _path(name: str) -> list[str]:
    """Return the parts of a name such as `a[b][]`; a name whose brackets don't match is one part."""
    # Without a regular expression: it would hold the interpreter's lock for as long as it reads a long name.
    first, _, rest = name.partition("[")
    if not first or "]" in first or not rest.endswith("]"):
        return [name]
    others = rest[:-1].split("][")
    return [name] if any("[" in part or "]" in part for part in others) else [first, *others]


def _place(root: _Object, path: list[str], name: str) -> _Values:
    node: _Node = root
    for depth in range(len(path)):
        node = _child_of(node, path, depth, name)
    if not isinstance(node, _Values):
        raise _conflict(name)
    return node


def _child_of(node: _Node, path: list[str], depth: int, name: str) -> _Node:
    part = path[depth]
    if part == "" and depth > 0:
        if not isinstance(node, _List):
            raise _conflict(name)
        if not node.items or not _has_room(node.items[-1], path, depth + 1):
            node.items.append(_empty(path, depth + 1))
        return node.items[-1]
    if not isinstance(node, _Object):
        raise _conflict(name)
    child = node.entries.get(part)
    if child is None:
        child = node.entries[part] = _empty(path, depth + 1)
    return child


def _empty(path: list[str], depth: int) -> _Node:
    """An empty value of the kind with which the rest of a path begins."""
    if depth == len(path):
        return _Values()
    return _List() if path[depth] == "" else _Object()


def _has_room(item: _Node, path: list[str], depth: int) -> bool:
    """Return true if an item of a list lacks the rest of a path, which then continues with this item."""
    for part in islice(path, depth, None):
        # An inner list always has room for one more item.
        if isinstance(item, _List):
            return part == ""
        if not isinstance(item, _Object) or part == "":
            return False
        if part not in item.entries:
            return True
        item = item.entries[part]
    return False


def _finish(node: _Node) -> Any:
    # The depth was limited when the names were read.
    match node:
        case _Values():
            return node.values[0] if len(node.values) == 1 else node.values
        case _List():
            return [_finish(item) for item in node.items]
        case _Object():
            numbers = [str(number) for number in range(len(node.entries))]
            if node.entries.keys() == set(numbers):
                return [_finish(node.entries[number]) for number in numbers]
            return {name: _finish(entry) for name, entry in node.entries.items()}


def _conflict(name: str) -> Malformed:
    return Malformed(f"the property {name[:80]!r} is used in two ways: as a value, an object or a list")


MAX_PROPERTIES: Final = 10_000
_MAX_ESCAPES: Final = 100_000
_SLICE: Final = 64 * 1024
"""Bytes that are decoded at once, since other threads wait meanwhile."""


class Naming(msgspec.Struct, frozen=True):
    """The meaning of property names."""

    nested: bool = False
    """Brackets in names stand for objects and lists."""
    json: frozenset[str] = frozenset()
    """The names whose values are JSON texts."""
    exact: bool = False
    """Fractions in these values are Decimals."""


PLAIN: Final = Naming()


def collect(pairs: Sequence[tuple[str, Any]], naming: Naming = PLAIN, room: Room | None = None) -> dict[str, Any]:
    """Build an object of properties; a repeated property is a list. Raises Malformed, and TooLarge like JSON.

    `room`: that of the whole body, if parts of it were read before.
    """
    room = room or Room()
    # Each pair of brackets can create an object.
    room.count(len(pairs) + (sum(name.count("[") for name, _ in pairs) if naming.nested else 0))
    if naming.json:
        pairs = [
            (name, _from_json(name, value, naming.exact, room) if name in naming.json else value)
            for name, value in pairs
        ]
    body = collect_nested(pairs) if naming.nested else _collect_plain(pairs)
    # The depth of JSON in fields is added to that of the names.
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


def read_properties(
    data: bytes, charset: str | None, what: str = "the body", naming: Naming = PLAIN, room: Room | None = None
) -> dict[str, Any]:
    """Read the properties of an urlencoded text. Raises Malformed and TooLarge."""
    if data.count(b"&") >= MAX_PROPERTIES:
        raise Malformed(f"{what} has more than {MAX_PROPERTIES} properties")
    codec = "utf-8" if charset is None else known_charset(charset)
    try:
        pairs = _utf8_pairs(data) if codec == "utf-8" else _other_pairs(decode_text(data, charset, what), codec, what)
    except (UnicodeError, ValueError) as error:
        raise Malformed(f"{what} is not urlencoded: {error}") from None
    return collect(pairs, naming, room)


def _utf8_pairs(data: bytes) -> list[tuple[str, str]]:
    pairs = []
    for pair in data.removeprefix(BOM_UTF8).split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            pairs.append((_unquoted(name).decode(), _unquoted(value).decode()))
    return pairs


def _unquoted(data: bytes) -> bytes:
    """Decode the escapes of an urlencoded text."""
    if b"+" in data:
        data = data.replace(b"+", b" ")
    escapes = data.count(b"%")
    if not escapes:
        return data
    if b"\n" not in data and b"\r" not in data:
        # The same escapes as in quoted-printable, with another sign, which C decodes.
        decoded = a2b_qp(data.replace(b"=", b"=3D").replace(b"%", b"="))
        # Each escape that isn't one would leave a longer text.
        if len(decoded) == len(data) - 2 * escapes:
            return decoded
    pieces, start = [], 0
    while start < len(data):
        # An escape is not cut apart.
        end = start + _SLICE
        end -= 1 if data[end - 1 : end] == b"%" else 2 if data[end - 2 : end - 1] == b"%" else 0
        pieces.append(unquote_to_bytes(data[start:end]))
        start = end
    return b"".join(pieces)


def _other_pairs(text: str, codec: str | None, what: str) -> list[tuple[str, str]]:
    """The pairs of a form in another charset, in which the escapes stand for bytes of this charset."""
    if text.count("%") > _MAX_ESCAPES:
        raise TooLarge(f"{what} has more than {_MAX_ESCAPES:,} escapes in {codec}; send UTF-8")
    pairs = parse_qsl(text, keep_blank_values=True, encoding=codec or "utf-8", errors="strict")
    # Some charsets allow lone surrogates, which JSON can't represent.
    "".join(part for pair in pairs for part in pair).encode()
    return pairs


def read_form(data: bytes, charset: str | None, naming: Naming = PLAIN, room: Room | None = None) -> Received:
    """Decode an urlencoded body."""
    return Received(read_properties(data, charset, naming=naming, room=room), raw=data)


def lenient_query(query: bytes) -> dict[str, Any]:
    """Decode the query of a request that has another body. Invalid bytes are replaced, and too many properties are left
    out."""
    text = query.decode("utf-8", "replace")
    pieces = text.split("&", MAX_PROPERTIES)[:MAX_PROPERTIES]
    return collect(parse_qsl("&".join(pieces), keep_blank_values=True, errors="replace"))
