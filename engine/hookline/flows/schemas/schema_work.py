"""The work of judging a body by a JSON Schema: it holds the interpreter's lock, so it is bounded before it starts.

jsonschema-rs needs about 0.03 µs for most values. Some comparisons take a hundred times as long, such as those of
fractions with `multipleOf`, and of numbers beyond 64 bits. The times here are those of a slow computer.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import count
from typing import Any, Final, NamedTuple, TypeGuard

from hookline.bodies.json import MAX_VALUES
from hookline.flows.schemas.alike_items import AlikeItems, is_integer, width_of
from hookline.flows.schemas.pattern_states import microseconds_of
from hookline.flows.schemas.schema_places import BodyPlace, BodyPlaces, TooManyPlaces
from hookline.flows.schemas.schema_references import Judge, References, objects
from hookline.kernel.json import JsonObject

LIMIT: Final = 75_000.0
"""The most microseconds for one body."""
_MOST_PARTS: Final = 50_000
"""The most parts of a schema that are looked at: for one body, and once to learn all places beforehand."""
_MOST_KEPT: Final = 20_000
"""The most places that are kept."""
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_KEYS: Final = ("required", "dependentRequired", "dependentSchemas", "dependencies")
"""Keywords that look for keys."""
_SIZED: Final = (list, dict)


class Work(NamedTuple):
    """The most microseconds that judging a body takes, for each of its parts."""

    value: float = 0.0
    """For each value."""
    object: float = 0.0
    """For each object, besides."""
    key: float = 0.0
    """For each key, besides."""
    integer: float = 0.0
    """For each integer of at most 64 bits, besides."""
    number: float = 0.0
    """For each other number, and each 128 bits of it, besides."""
    character: float = 0.0
    """For each character of a text or a key, besides."""
    pair: float = 0.0
    """For each two items of a list that a hash may not tell apart, and each 128 bits of them, besides."""

    def left_by(self, body: Any, limit: float) -> float:
        """Return what is left of a limit after judging a body; less than 0 if it may take longer."""
        value, of_object, key, integer, number, character, pair = self
        if (value + of_object + key) * MAX_VALUES <= limit and not (integer or number or character or pair):
            return limit
        left = limit
        containers: list[Any] = [[body]]
        while containers:
            container = containers.pop()
            left -= len(container) * value
            items = container
            if type(container) is dict:
                items = container.values()
                left -= of_object + len(container) * key
                if character:
                    left -= sum(map(len, container)) * character
            for item in items:
                kind = type(item)
                if kind is str:
                    left -= len(item) * character
                elif kind is dict or kind is list:
                    containers.append(item)
                elif kind is int or kind is float or kind is Decimal:
                    left -= integer if is_integer(item) else number * width_of(item)
                if left < 0:
                    return left
        return AlikeItems(left / pair).left_by(body) * pair if pair and left >= 0 else left


_NONE: Final = Work()
_END: Final[tuple[Any, Any]] = (None, None)


class WorkAt(NamedTuple):
    """The work of a schema at one place."""

    here: Work
    inside: Work
    """For the value and all that it contains."""


class SchemaWork:
    """The work of a schema at all places of a body."""

    def __init__(self, schema: JsonObject, references: References) -> None:
        self._schema = schema
        self._references = references
        self._own: dict[int, WorkAt] = {}
        self._at: dict[BodyPlace, WorkAt] = {}
        self._places = BodyPlaces(schema, references, _MOST_PARTS)
        self.has_many_places = False
        """Estimating the work for a small body may take milliseconds, too."""
        self.most: Work
        """The most at any place."""
        try:
            self.most = _most(_sum(self._work_at(place)) for place in self._places.all())
        except TooManyPlaces:
            self.has_many_places = True
            self.most = _sum(work for part in objects(schema) for work in self._own_of(part))

    def exceeds(self, body: Any) -> bool:
        """Return true if judging a body may take longer than `LIMIT`."""
        if self.most.left_by(body, LIMIT) >= 0:
            return False
        try:
            return self._left_by_place(body) < 0
        except TooManyPlaces:
            return True

    def _left_by_place(self, body: Any) -> float:
        if len(self._places) > _MOST_KEPT:
            self._places = BodyPlaces(self._schema, self._references, _MOST_PARTS)
            self._at = {}
        self._places.allow(_MOST_PARTS)
        left = LIMIT
        path: list[Iterator[tuple[BodyPlace, Any]]] = [iter([(self._places.first, body)])]
        while path and left >= 0:
            place, value = next(path[-1], _END)
            if place is None:
                path.pop()
                continue
            here, inside = self._work_at(place)
            if inside is not _NONE:
                left = inside.left_by(value, left)
            left -= here.value
            kind = type(value)
            if kind is str:
                left -= len(value) * here.character
            elif kind is list:
                path.append(zip(map(place.item, count()), value, strict=False))
            elif kind is dict:
                names = _sum(self._work_at(place.name()))
                left -= here.object + len(value) * (here.key + names.value)
                left -= sum(map(len, value)) * (here.character + names.character)
                path.append(zip(map(place.value, value), value.values(), strict=True))
            elif kind is int or kind is float or kind is Decimal:
                left -= here.integer if is_integer(value) else here.number * width_of(value)
        return left

    def _work_at(self, place: BodyPlace) -> WorkAt:
        work = self._at.get(place)
        if work is None:
            judges = [(self._own_of(judge), times) for judge, times in place.judges]
            here = _sum(_times(own.here, times) for own, times in judges)
            inside = _sum(_times(own.inside, times) for own, times in judges)
            work = self._at[place] = WorkAt(here, inside if any(inside) else _NONE)
        return work

    def _own_of(self, judge: Judge) -> WorkAt:
        work = self._own.get(id(judge))
        if work is None:
            work = self._own[id(judge)] = _own(judge)
        return work


def _times(work: Work, times: int) -> Work:
    return work if times == 1 else Work(*(part * times for part in work))


def _own(judge: Judge) -> WorkAt:
    """The work of a schema itself, without that of the schemas in it."""
    if isinstance(judge, bool):
        return WorkAt(Work(value=0.003), _NONE)
    here = [Work(value=0.03)]
    inside: list[Work] = []
    here += [_comparison(judge[keyword]) for keyword in _BOUNDS if _is_number(judge.get(keyword))]
    listed = [[judge["const"]]] if "const" in judge else []
    listed += [judge["enum"]] if isinstance(judge.get("enum"), list) else []
    for values in listed:
        (inside if any(isinstance(value, dict | list) for value in values) else here).append(_membership(values))
    here += [Work(object=0.02 * len(judge[keyword])) for keyword in _KEYS if isinstance(judge.get(keyword), _SIZED)]
    if judge.get("uniqueItems") is True:
        inside += [Work(value=0.15, number=0.8, pair=0.6)]
    if isinstance(judge.get("pattern"), str):
        here += [_search(judge["pattern"])]
    if "format" in judge:
        here += [Work(value=0.3, character=0.04 if judge["format"] == "idn-hostname" else 0.003)]
    if "contentMediaType" in judge or "contentEncoding" in judge:
        here += [Work(value=0.3, character=0.1)]
    patterns = judge.get("patternProperties")
    if isinstance(patterns, dict):
        searches = map(_search, patterns)
        here += [Work(key=search.value, character=search.character) for search in searches]
    return WorkAt(_sum(here), _sum(inside) if inside else _NONE)


def _search(pattern: str) -> Work:
    return Work(value=0.1, character=microseconds_of(pattern))


def _membership(listed: list[Any]) -> Work:
    works = [_equality(one) for one in listed]
    kinds = {type(one) for one in listed if one is not None}
    if len(kinds) > 1:
        # They are compared one by one.
        works += [Work(value=0.02 * len(listed))]
    elif all(map(is_integer, listed)):
        # They are looked up in a table, unless the value is another number.
        works = [one._replace(integer=0.0) for one in works]
    return _sum(works)


def _comparison(operand: Any) -> Work:
    return Work(integer=0.06, number=1.2) if is_integer(operand) else Work(integer=3.5, number=5.0)


def _equality(operand: Any) -> Work:
    if isinstance(operand, dict | list):
        return _sum([Work(value=0.35), *(_equality(part) for part in _parts(operand))])
    if not _is_number(operand):
        return Work()
    return Work(integer=0.45, number=3.4) if is_integer(operand) else _comparison(operand)


def _parts(operand: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return operand.values() if isinstance(operand, dict) else operand


def _is_number(value: Any) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _sum(works: Iterable[Work]) -> Work:
    return Work(*map(sum, zip(Work(), *works, strict=True)))


def _most(works: Iterable[Work]) -> Work:
    return Work(*map(max, zip(Work(), *works, strict=True)))
