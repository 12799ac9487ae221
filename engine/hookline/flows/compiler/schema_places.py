"""The places of a body by a JSON Schema: at each of them, some parts of the schema judge a value together.

A place is known by these parts, so a schema has a limited number of places, also a recursive one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from hookline.kernel.json import JsonObject
from hookline.kernel.pointers_and_patches import value_at

REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_IDS: Final = ("$id", "id")
"""Keywords that make a part of a schema a document of its own: pointers in it have another meaning."""
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
"""Keywords with a list of schemas for the same value."""
_SAME_VALUE: Final = ("not", "if", "then", "else")
"""Keywords with a schema for the same value."""
_BY_KEY: Final = ("dependentSchemas", "dependencies")
"""Keywords with schemas for the same value, by key."""
_OTHER_KEYS: Final = ("additionalProperties", "unevaluatedProperties")
_OTHER_ITEMS: Final = ("items", "additionalItems", "unevaluatedItems")
_UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_AGAIN: Final = 3
"""The times that branches judge a value if the parts of it are looked for that they haven't judged."""
_MOST: Final = 300_000
"""The most parts of all places together."""

Judge: TypeAlias = dict[str, Any] | bool
"""A part of a schema that judges a value."""
Judges: TypeAlias = list[tuple[Judge, int]]
"""Judges, and how many times each judges the value."""


class UnknownPlaces(Exception):
    """A reference can't be followed, or the schema has too many places."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of a schema: those that are schemas, and others."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left += part.values()
        elif isinstance(part, list):
            left += part


class References:
    """The references of a schema."""

    def __init__(self, schema: JsonObject) -> None:
        """Raises `UnknownPlaces`."""
        self._schema = schema
        if any(isinstance(part.get(key), str) for part in objects(schema) if part is not schema for key in _IDS):
            raise UnknownPlaces
        self._id = next((name for key in _IDS if isinstance(name := schema.get(key), str)), "")
        names = [name for part in objects(schema) for name in _names(part)]
        graph: dict[str, set[str]] = {}
        left = set(names)
        while left:
            name = left.pop()
            parts = [part for target in self._targets(name) for part in objects(target)]
            graph[name] = {name for part in parts for name in _names(part)}
            left |= graph[name] - graph.keys()
        leading_back = {name for name in graph if _leads_back(graph, name)}
        self.leading_back = sum(name in leading_back for name in names)
        """The number of those that may lead back to where they stand."""
        inside = (part for name in leading_back for target in self._targets(name) for part in objects(target))
        self._inside = {id(part) for part in inside}
        self._leading_back = leading_back

    def of(self, part: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
        """Yield what a part refers to, and whether the validator keeps the result for each value."""
        for name in _names(part):
            for target in self._targets(name):
                yield target, name in self._leading_back and id(part) in self._inside

    def _targets(self, name: str) -> list[Any]:
        pointer = name.removeprefix(self._id) if name.startswith("#") or self._id else name
        if pointer in ("", "#"):
            return [self._schema]
        if pointer.startswith("#/"):
            try:
                return [value_at(self._schema, unquote(pointer[1:]))]
            except (LookupError, TypeError, ValueError):
                raise UnknownPlaces from None
        anchored = [part for part in objects(self._schema) if any(part.get(key) == pointer[1:] for key in _ANCHORS)]
        if not pointer.startswith("#") or not anchored:
            raise UnknownPlaces
        return anchored


def _names(part: dict[str, Any]) -> Iterator[str]:
    return (part[key] for key in REFERENCES if isinstance(part.get(key), str))


def _leads_back(graph: dict[str, set[str]], name: str) -> bool:
    reached = set[str]()
    left = set(graph[name])
    while left:
        reached |= left
        left = set[str]().union(*(graph[one] for one in left)) - reached
    return name in reached


class BodyPlaces:
    """The places of a schema. They are made when they are asked for."""

    def __init__(self, schema: JsonObject) -> None:
        """Raises `UnknownPlaces`, as asking for a place does."""
        self.references = References(schema)
        self._known: dict[frozenset[tuple[int, int]], BodyPlace] = {}
        self._left = _MOST
        self.first = self.place([(schema, 1)])
        """The place of the whole body."""

    def all(self) -> Iterator["BodyPlace"]:
        """Yield all places. Raises `UnknownPlaces` if there are too many; a body may have few of them."""
        known = {self.first}
        left = [self.first]
        try:
            while left:
                place = left.pop()
                yield place
                new = set(place.all_inside()) - known
                known |= new
                left += new
        finally:
            self._left = _MOST

    def place(self, judges: Iterable[tuple[Any, int]]) -> "BodyPlace":
        """Return the place with these judges, and those to which they lead for the same value."""
        parts: dict[int, Judge] = {}
        times = Counter[int]()
        for judge, often in self._with_branches(judges):
            parts[id(judge)] = judge
            times[id(judge)] += often
        name = frozenset(times.items())
        place = self._known.get(name)
        if place is None:
            self._spend(1 + len(parts))
            place = self._known[name] = BodyPlace(self, [(judge, times[key]) for key, judge in parts.items()])
        return place

    def _with_branches(self, judges: Iterable[tuple[Any, int]]) -> Iterator[tuple[Judge, int]]:
        kept = set[int]()
        above = set[int]()
        # From the outermost judge to the innermost: each with those that it leads to.
        path: list[tuple[int, Iterator[tuple[Any, int, bool]]]] = [
            (0, ((judge, often, False) for judge, often in judges))
        ]
        while path:
            judge, often, is_kept = next(path[-1][1], (None, 0, False))
            if often == 0:
                above.discard(path.pop()[0])
            elif isinstance(judge, bool):
                yield judge, often
            elif isinstance(judge, dict) and id(judge) not in above and not (is_kept and id(judge) in kept):
                if is_kept:
                    kept.add(id(judge))
                    often = 1
                self._spend(1)
                yield judge, often
                above.add(id(judge))
                path.append((id(judge), self._branches(judge, often)))

    def _branches(self, judge: dict[str, Any], often: int) -> Iterator[tuple[Any, int, bool]]:
        """Yield the judges of the same value to which a judge leads, and whether the result is kept."""
        if not _UNEVALUATED.isdisjoint(judge):
            often *= _AGAIN
        for keyword in _BRANCHES:
            yield from ((branch, often, False) for branch in _list(judge, keyword))
        for keyword in _SAME_VALUE:
            yield judge.get(keyword), often, False
        for keyword in _BY_KEY:
            yield from ((branch, often, False) for branch in _object(judge, keyword).values())
        yield from ((target, often, kept) for target, kept in self.references.of(judge))

    def _spend(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise UnknownPlaces


class BodyPlace:
    """A place of a body."""

    def __init__(self, places: BodyPlaces, judges: Judges) -> None:
        self.judges = judges
        self._places = places
        self._parts = [(judge, often) for judge, often in judges if isinstance(judge, dict)]
        self._named = {key for judge, _ in self._parts for key in _object(judge, "properties")}
        self._listed = max((len(_items(judge)) for judge, _ in self._parts), default=0)
        self._values: dict[str | None, BodyPlace] = {}
        self._items: dict[int, BodyPlace] = {}
        self._names: BodyPlace | None = None

    def value(self, key: str | None) -> "BodyPlace":
        """Return the place of the value that an object here has at a key. None stands for a key without a schema."""
        if key not in self._named:
            key = None
        place = self._values.get(key)
        if place is None:
            inside = [(inner, often) for judge, often in self._parts for inner in _for_key(judge, key)]
            place = self._values[key] = self._places.place(inside)
        return place

    def item(self, number: int) -> "BodyPlace":
        """Return the place of an item of a list here."""
        number = min(number, self._listed)
        place = self._items.get(number)
        if place is None:
            inside = [(inner, often) for judge, often in self._parts for inner in _for_item(judge, number)]
            place = self._items[number] = self._places.place(inside)
        return place

    def name(self) -> "BodyPlace":
        """Return the place of the keys of an object here."""
        if self._names is None:
            named = [(judge["propertyNames"], often) for judge, often in self._parts if "propertyNames" in judge]
            self._names = self._places.place(named)
        return self._names

    def all_inside(self) -> Iterator["BodyPlace"]:
        """Yield the places of all that a value here may contain."""
        yield self.name()
        yield from map(self.value, [*self._named, None])
        yield from map(self.item, range(self._listed + 1))


def _for_key(judge: dict[str, Any], key: str | None) -> Iterator[Any]:
    yield from _object(judge, "patternProperties").values()
    named = _object(judge, "properties")
    if key in named:
        yield named[key]
    else:
        yield from (judge[keyword] for keyword in _OTHER_KEYS if keyword in judge)


def _for_item(judge: dict[str, Any], number: int) -> Iterator[Any]:
    yield judge.get("contains")
    items = _items(judge)
    if number < len(items):
        yield items[number]
    else:
        yield from (judge[keyword] for keyword in _OTHER_ITEMS if keyword in judge)


def _items(judge: dict[str, Any]) -> list[Any]:
    return _list(judge, "prefixItems") or _list(judge, "items")


def _list(judge: dict[str, Any], keyword: str) -> list[Any]:
    found = judge.get(keyword)
    return found if isinstance(found, list) else []


def _object(judge: dict[str, Any], keyword: str) -> dict[str, Any]:
    found = judge.get(keyword)
    return found if isinstance(found, dict) else {}
