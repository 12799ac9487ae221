"""The places of a body by a JSON Schema: at each of them, some parts of the schema judge a value together.

A place is known by these parts, so a schema has a limited number of places, also a recursive one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from hookline.flows.schemas.schema_references import Judge, References, list_in, object_in
from hookline.kernel.json import JsonObject

BRANCHES: Final = ("allOf", "anyOf", "oneOf")
"""Keywords with a list of schemas for the same value."""
_SAME_VALUE: Final = ("not", "if", "then", "else")
"""Keywords with a schema for the same value."""
BY_KEY: Final = ("dependentSchemas", "dependencies")
"""Keywords with schemas for the same value, by key."""
_OTHER_KEYS: Final = ("additionalProperties", "unevaluatedProperties")
_OTHER_ITEMS: Final = ("items", "additionalItems", "unevaluatedItems")
UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
AGAIN: Final = 3
"""The times that branches judge a value if the parts of it are looked for that they haven't judged."""

Judges: TypeAlias = list[tuple[Judge, int]]
"""Parts of a schema, and how many times each judges the value."""


class TooManyPlaces(Exception):
    """The places have more parts than are allowed."""


class BodyPlaces:
    """The places of a schema. They are made when they are asked for."""

    def __init__(self, schema: JsonObject, references: References, allowed: int) -> None:
        """`allowed`: the most parts that are looked at; asking for a place raises `TooManyPlaces` for more."""
        self._references = references
        self._known: dict[frozenset[tuple[int, int]], BodyPlace] = {}
        self._left = allowed
        self.first = self.place([(schema, 1)])
        """The place of the whole body."""

    def __len__(self) -> int:
        return len(self._known)

    def allow(self, parts: int) -> None:
        """Look at so many parts from now on."""
        self._left = parts

    def all(self) -> Iterator["BodyPlace"]:
        """Yield all places."""
        known = {self.first}
        left = [self.first]
        while left:
            place = left.pop()
            yield place
            new = set(place.all_inside()) - known
            known |= new
            left += new

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
                self._left -= 1
                if self._left < 0:
                    raise TooManyPlaces
                yield judge, often
                above.add(id(judge))
                path.append((id(judge), self._branches(judge, often)))

    def _branches(self, judge: dict[str, Any], often: int) -> Iterator[tuple[Any, int, bool]]:
        """Yield the judges of the same value to which a judge leads, and whether the result is kept."""
        if not UNEVALUATED.isdisjoint(judge):
            often *= AGAIN
        for branch in branches_of(judge):
            yield branch, often, False
        for target, kept in self._references.of(judge):
            yield target, often, kept


class BodyPlace:
    """A place of a body."""

    def __init__(self, places: BodyPlaces, judges: Judges) -> None:
        self.judges = judges
        self._places = places
        self._parts = [(judge, often) for judge, often in judges if isinstance(judge, dict)]
        self._named = {key for judge, _ in self._parts for key in object_in(judge, "properties")}
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
            inside = [(inner, often) for judge, often in self._parts for inner in judges_of_value(judge, key)]
            place = self._values[key] = self._places.place(inside)
        return place

    def item(self, number: int) -> "BodyPlace":
        """Return the place of an item of a list here."""
        number = min(number, self._listed)
        place = self._items.get(number)
        if place is None:
            inside = [(inner, often) for judge, often in self._parts for inner in judges_of_item(judge, number)]
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


def branches_of(judge: dict[str, Any]) -> Iterator[Any]:
    """Yield the schemas that a judge has for the same value."""
    for keyword in BRANCHES:
        yield from list_in(judge, keyword)
    for keyword in _SAME_VALUE:
        yield judge.get(keyword)
    for keyword in BY_KEY:
        yield from object_in(judge, keyword).values()


def judges_of_value(judge: dict[str, Any], key: str | None) -> Iterator[Any]:
    """Yield the schemas that a judge has for the value at a key of an object."""
    yield from object_in(judge, "patternProperties").values()
    named = object_in(judge, "properties")
    if key in named:
        yield named[key]
    else:
        yield from (judge[keyword] for keyword in _OTHER_KEYS if keyword in judge)


def judges_of_item(judge: dict[str, Any], number: int) -> Iterator[Any]:
    """Yield the schemas that a judge has for an item of a list."""
    yield judge.get("contains")
    items = _items(judge)
    if number < len(items):
        yield items[number]
    else:
        yield from (judge[keyword] for keyword in _OTHER_ITEMS if keyword in judge)


def _items(judge: dict[str, Any]) -> list[Any]:
    return list_in(judge, "prefixItems") or list_in(judge, "items")
