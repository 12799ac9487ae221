"""The cost of checking a body in the event loop, for schemas whose cost can be bounded beforehand.

jsonschema-rs holds the interpreter's lock while it checks a body. For a schema of well-known keywords, the most checks
that any value of a body meets follow from the schema alone; then a small body is checked at once. Everything else is
checked in a process of its own (`hookline.intake`), so a cost that isn't known costs no more than a moment.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from hookline.flows.schemas.pattern_states import states_of
from hookline.kernel.json import JsonObject

LIMIT: Final = 10_000.0
"""The most microseconds for which a body is checked in the event loop."""
_MOST_PLACES: Final = 300
"""The most places of a body that are told apart."""
_MOST_PARTS: Final = 1000
"""The most parts of a schema that check one value."""
_INTEGERS: Final = (-(2**63), 2**64)
_DECIMAL: Final = 40.0
_FORMATS: Final = frozenset({"date-time", "date", "time", "duration", "uuid", "uri", "email", "ipv4", "ipv6"})
_FREE: Final = frozenset(
    {"title", "description", "default", "examples", "example", "$comment", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$defs", "definitions"}
)
"""Keywords that check nothing."""
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_PARTS: Final = ("not", "if", "then", "else")


class CheckingCost(NamedTuple):
    """The most microseconds that checking a body takes, on a slow computer."""

    value: float
    """For each value."""
    character: float
    """For each character of a text, besides."""

    def is_low(self, bodies: Sequence[Any]) -> bool:
        """Return true if checking bodies takes less than `LIMIT`."""
        left = LIMIT
        containers: list[Any] = [bodies]
        while containers:
            container = containers.pop()
            left -= len(container) * self.value
            if left < 0:
                return False
            for item in container.values() if type(container) is dict else container:
                kind = type(item)
                if kind is str:
                    left -= len(item) * self.character
                elif kind is dict or kind is list:
                    containers.append(item)
                elif kind is Decimal:
                    left -= _DECIMAL * (1 + len(str(item)) // 40)
                elif kind is int and not _INTEGERS[0] <= item < _INTEGERS[1]:
                    return False
        return left >= 0


class _Unknown(Exception):
    """The cost of a schema isn't known."""


def cost_of(schema: JsonObject) -> CheckingCost | None:
    """Return the cost of checking by a schema; None if it isn't known."""
    try:
        costs = [_cost(parts) for parts in _places(schema)]
    except (_Unknown, RecursionError):
        return None
    return CheckingCost(max(cost.value for cost in costs), max(cost.character for cost in costs))


def _places(schema: JsonObject) -> Iterator[Sequence[Any]]:
    """Yield the parts of a schema that check one value, for each kind of place in a body.

    A part that checks it twice is there twice.
    """
    pending: list[list[Any]] = [[schema]]
    seen: set[frozenset[tuple[int, int]]] = set()
    while pending:
        parts = list(_together(schema, pending.pop()))
        place = frozenset(Counter(map(id, parts)).items())
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > _MOST_PLACES:
            raise _Unknown
        yield parts
        pending += _below([part for part in parts if isinstance(part, dict)])


def _together(schema: JsonObject, parts: Iterable[Any]) -> Iterator[Any]:
    """Yield parts, and those that check the same value with them."""
    pending = list(parts)
    for _ in range(_MOST_PARTS):
        if not pending:
            return
        part = pending.pop()
        yield part
        if isinstance(part, dict):
            if part is not schema and ("$id" in part or "id" in part):
                raise _Unknown
            pending += [part[name] for name in _PARTS if name in part]
            pending += [one for name in _LISTS for one in part.get(name, ())]
            if "$ref" in part:
                pending.append(_target(schema, part["$ref"]))
    # It leads back to itself, or has very many branches.
    raise _Unknown


def _target(schema: JsonObject, reference: str) -> Any:
    found: Any = schema
    if reference != "#" and not reference.startswith("#/"):
        raise _Unknown
    for name in reference.split("/")[1:]:
        key = unquote(name).replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict | bool):
        raise _Unknown
    return found


def _below(parts: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """Yield what checks each kind of key, and the items, of a value that these parts check."""
    names = {name for part in parts for name in part.get("properties", ())}
    others = [part for part in parts if "additionalProperties" in part]
    for name in names:
        known = [part["properties"][name] for part in parts if name in part.get("properties", ())]
        yield known + [part["additionalProperties"] for part in others if name not in part.get("properties", ())]
    if others:
        yield [part["additionalProperties"] for part in others]
    items = [one for part in parts for name in ("prefixItems", "items", "additionalItems") for one in _some(part, name)]
    if items:
        # More than check any one item, if there are some for single places.
        yield items


def _some(part: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = part.get(name, ())
    return found if isinstance(found, list | tuple) else (found,)


def _cost(parts: Iterable[Any]) -> CheckingCost:
    """Return the cost of a value that all of these parts check."""
    value = character = 0.3
    character = 0.0
    for part in parts:
        value += 0.1
        for name, given in part.items() if isinstance(part, dict) else ():
            if name in _FREE or name.startswith("x-"):
                continue
            cost = _KEYWORDS.get(name)
            if cost is None:
                raise _Unknown
            more = cost(given)
            value, character = value + more.value, character + more.character
    return CheckingCost(value, character)


def _each(microseconds: float) -> Callable[[Any], CheckingCost]:
    """The cost of a keyword that has so many members."""
    return lambda given: CheckingCost(microseconds * (len(given) if isinstance(given, list | dict) else 1), 0.0)


def _always(microseconds: float, character: float = 0.0) -> Callable[[Any], CheckingCost]:
    return lambda _: CheckingCost(microseconds, character)


def _compared(members: Iterable[Any]) -> CheckingCost:
    return CheckingCost(sum(map(_comparison, members)), 0.0)


def _comparison(member: Any) -> float:
    if isinstance(member, list | dict):
        raise _Unknown
    if isinstance(member, str | bool) or member is None:
        return 0.05
    return 0.5 if isinstance(member, int) and _INTEGERS[0] <= member < _INTEGERS[1] else _DECIMAL


def _format(name: Any) -> CheckingCost:
    if name not in _FORMATS:
        raise _Unknown
    return CheckingCost(1.0, 0.05)


def _pattern(pattern: Any) -> CheckingCost:
    states = states_of(pattern)
    if states is None:
        raise _Unknown
    return CheckingCost(0.5, 0.005 * states)


def _unique(given: Any) -> CheckingCost:
    if given:
        raise _Unknown
    return CheckingCost(0.0, 0.0)


_KEYWORDS: Final[Mapping[str, Callable[[Any], CheckingCost]]] = {
    **dict.fromkeys(("type", "required", "properties", "prefixItems"), _each(0.1)),
    **dict.fromkeys((*_LISTS, *_PARTS, "$ref", "$id", "id", "items", "additionalItems"), _always(0.1)),
    "additionalProperties": _always(0.3),
    **dict.fromkeys(("minItems", "maxItems", "minProperties", "maxProperties"), _always(0.1)),
    **dict.fromkeys(("minLength", "maxLength"), _always(0.1, 0.002)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _always(1.5)),
    "multipleOf": lambda given: CheckingCost(1.0 if isinstance(given, int) else _DECIMAL, 0.0),
    "enum": _compared,
    "const": lambda given: _compared((given,)),
    "format": _format,
    "pattern": _pattern,
    "uniqueItems": _unique,
}
