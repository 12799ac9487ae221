"""Properties whose names say where they belong: `order[lines][][sku]=A1`, as PHP, Rails and jQuery write them."""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from hookline.errors import Malformed
from hookline.jsontypes import MAX_DEPTH

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")


class _Values:
    """What came under one whole name."""

    def __init__(self) -> None:
        self.values: list[Any] = []


class _Object:
    """`a[b]`, `a[0]`."""

    def __init__(self) -> None:
        self.entries: dict[str, _Node] = {}


class _List:
    """`a[]`."""

    def __init__(self) -> None:
        self.items: list[_Node] = []


_Node: TypeAlias = _Values | _Object | _List


def collect_nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The object that names in brackets describe; a name whose brackets don't match stands for itself.

    `a[b]` is a key, `a[]` one more item of a list, and `a[0]`, `a[1]` are the items of a list where all numbers from 0
    on are there. `a[][b]` goes on with the last item until it has a `b`, as Rails has it. A whole name that repeats is
    a list. Raises Malformed where a name is used in two ways, and for what is nested too deep.
    """
    root = _Object()
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        path = [name] if match is None else [match[1], *_PART.findall(match[2])]
        # The object that holds everything is a level too.
        if len(path) > MAX_DEPTH:
            raise Malformed(f"the property {name[:40]!r}… is nested deeper than {MAX_DEPTH} levels")
        _place(root, path, name).values.append(value)
    collected = _finish(root)
    # Names that are all numbers make a list of anything but the body itself.
    return collected if isinstance(collected, dict) else {str(index): item for index, item in enumerate(collected)}


def _place(root: _Object, path: list[str], name: str) -> _Values:
    node: _Node = root
    for depth, part in enumerate(path):
        node = _child_of(node, part, path[depth + 1 :], name, first=depth == 0)
    if not isinstance(node, _Values):
        raise _conflict(name)
    return node


def _child_of(node: _Node, part: str, rest: list[str], name: str, *, first: bool) -> _Node:
    if part == "" and not first:
        if not isinstance(node, _List):
            raise _conflict(name)
        last = node.items[-1] if node.items else None
        if last is not None and rest and _has_room(last, rest):
            return last
        node.items.append(_empty(rest))
        return node.items[-1]
    if not isinstance(node, _Object):
        raise _conflict(name)
    return node.entries.setdefault(part, _empty(rest))


def _empty(rest: list[str]) -> _Node:
    if not rest:
        return _Values()
    return _List() if rest[0] == "" else _Object()


def _has_room(item: _Node, rest: list[str]) -> bool:
    """Whether an item of a list lacks what a path names: then the path goes on with it."""
    for part in rest:
        # One more item of an inner list always has room.
        if isinstance(item, _List):
            return part == ""
        if not isinstance(item, _Object) or part == "":
            return False
        if part not in item.entries:
            return True
        item = item.entries[part]
    return False


def _finish(node: _Node) -> Any:
    # Depth is bounded where names are read.
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
