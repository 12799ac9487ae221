"""The parts of a JSON Schema, and the references between them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from hookline.kernel.json import JsonObject
from hookline.kernel.pointers_and_patches import value_at

REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_IDS: Final = ("$id", "id")
"""Keywords that make a part of a schema a document of its own: pointers in it begin there."""
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", *_IDS)
_DATA: Final = frozenset({"const", "enum", "default", "examples", "example"})
"""Keywords whose values are no schemas."""
_MAPS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
"""Keywords with schemas by names, which mean nothing else."""

Judge: TypeAlias = dict[str, Any] | bool
"""A part of a schema that judges a value."""

_ELSEWHERE: Final[dict[str, Any]] = {"uniqueItems": True, "format": "regex", "allOf": [{} for _ in range(20)]}
"""In place of a schema in another document, which can only be that of JSON Schema itself."""
_ELSEWHERE.update(items=_ELSEWHERE, additionalProperties=_ELSEWHERE)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects of a schema that may be schemas."""
    left: list[tuple[Any, bool]] = [(schema, False)]
    while left:
        value, is_map = left.pop()
        if isinstance(value, list):
            left += ((item, False) for item in value)
        elif isinstance(value, dict) and is_map:
            left += ((part, False) for part in value.values())
        elif isinstance(value, dict):
            yield value
            left += ((part, key in _MAPS) for key, part in value.items() if key not in _DATA)


class References:
    """The references of a schema."""

    def __init__(self, schema: JsonObject) -> None:
        self._documents: list[Mapping[str, Any]] = [schema]
        self._anchors: dict[str, list[Any]] = {}
        names = set[str]()
        for part in objects(schema):
            names.update(_names(part))
            if part is not schema and any(isinstance(part.get(key), str) for key in _IDS):
                self._documents.append(part)
            for key in _ANCHORS:
                if isinstance(part.get(key), str):
                    self._anchors.setdefault(part[key].removeprefix("#"), []).append(part)
        self._targets = {name: self._found(name) for name in names}
        parts = {
            name: [part for target in targets if target is not _ELSEWHERE for part in objects(target)]
            for name, targets in self._targets.items()
        }
        self._leading_back = on_cycles(
            {name: {other for part in parts[name] for other in _names(part) if other in parts} for name in parts}
        )
        self._inside = {id(part) for name in self._leading_back for part in parts[name]}

    def of(self, part: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
        """Yield what a part refers to, and whether the validator keeps the result for each value.

        It does so where a reference leads back to where it stands.
        """
        for name in _names(part):
            # Names in an example were not collected, and a reference may lead into one.
            targets = self._targets.get(name)
            for target in self._found(name) if targets is None else targets:
                yield target, name in self._leading_back and id(part) in self._inside

    def _found(self, name: str) -> list[Any]:
        """Return the schemas that a reference may lead to: its pointer may exist in several documents."""
        document, _, fragment = name.partition("#")
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment, [_ELSEWHERE])
        found = []
        for part in self._documents:
            if not document or _file(document) in {_file(part[key]) for key in _IDS if isinstance(part.get(key), str)}:
                with suppress(LookupError, TypeError, ValueError):
                    found.append(value_at(part, unquote(fragment)))
        return found or [_ELSEWHERE]


def _names(part: dict[str, Any]) -> Iterator[str]:
    return (part[key] for key in REFERENCES if isinstance(part.get(key), str))


def _file(address: str) -> str:
    return address.removesuffix("#").rpartition("/")[2]


def on_cycles(graph: Mapping[str, set[str]]) -> set[str]:
    """Return the nodes of a graph that lie on a cycle. `graph`: the nodes to which each node leads."""
    reverse: dict[str, set[str]] = {name: set() for name in graph}
    for name, others in graph.items():
        for other in others:
            reverse[other].add(name)
    found = {name for name, others in graph.items() if name in others}
    left = set(graph)
    for name in reversed(_by_end(graph)):
        # Those that lead to this node, and that the search left before it, lie on a cycle with it.
        together = {name} & left
        new = together
        while new:
            left -= new
            new = {other for one in new for other in reverse[one]} & left
            together |= new
        if len(together) > 1:
            found |= together
    return found


def _by_end(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes in the order in which a search through all of them leaves them."""
    order: list[str] = []
    known = set[str]()
    for start in graph:
        path = [] if start in known else [(start, iter(graph[start]))]
        known.add(start)
        while path:
            name, others = path[-1]
            other = next((one for one in others if one not in known), None)
            if other is None:
                order.append(name)
                path.pop()
            else:
                known.add(other)
                path.append((other, iter(graph[other])))
    return order


def list_in(judge: dict[str, Any], keyword: str) -> list[Any]:
    """Return the value of a keyword if it is a list, otherwise an empty one."""
    found = judge.get(keyword)
    return found if isinstance(found, list) else []


def object_in(judge: dict[str, Any], keyword: str) -> dict[str, Any]:
    """Return the value of a keyword if it is an object, otherwise an empty one."""
    found = judge.get(keyword)
    return found if isinstance(found, dict) else {}
