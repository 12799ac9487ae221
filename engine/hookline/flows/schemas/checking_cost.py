"""The cost of checking a body in the event loop, for schemas whose cost can be bounded beforehand.

jsonschema-rs holds the interpreter's lock while it checks a body. For a schema of well-known keywords, the most checks
that any value of a body meets follow from the schema alone; then a small body is checked at once. Everything else is
checked in a separate process (`hookline.intake.body_checker`), so it is harmless if the cost isn't known.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from hookline.flows.schemas.pattern_states import states_of
from hookline.kernel.json import JsonObject

_LIMIT: Final = 10_000.0
"""The most microseconds for which a body is checked in the event loop."""
_MOST_PLACES: Final = 300
"""The most places of a body that are told apart."""
_MOST_PARTS: Final = 1000
"""The most parts of a schema that check one value."""
_MOST_STEPS: Final = 100_000
"""A bound for the time that finding the cost takes."""
_DECIMAL: Final = 60.0
"""The most microseconds that comparing an exact fraction with an integer takes, if its digits and its exponent together
are at most `_MOST_DIGITS`."""
_MOST_DIGITS: Final = 40
_SMALL: Final = 2**53
"""Integers whose absolute value is below this are exact in binary64."""
_WIDE: Final = 2**64
"""Integers from here on are compared digit by digit."""
_MOST_BITS: Final = 512
"""The most bits of an integer in a schema."""
_FORMATS: Final = frozenset({"date-time", "date", "time", "duration", "uuid", "uri", "email", "ipv4", "ipv6"})
_FREE: Final = frozenset(
    {"title", "description", "default", "examples", "example", "$comment", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$defs", "definitions"}
)
"""Keywords that check nothing."""
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_PARTS: Final = ("not", "if", "then", "else")


class CheckingCost(NamedTuple):
    """A bound for the microseconds that checking a body takes on a slow computer, in three parts."""

    value: float = 0.0
    """For each value."""
    character: float = 0.0
    """For each character of a text, besides."""
    comparisons: float = 0.0
    """The comparisons with an integer that each number costs; one with a fraction counts as six."""

    def is_low(self, bodies: Sequence[Any]) -> bool:
        """Return true if checking bodies takes at most `_LIMIT`."""
        left = _LIMIT
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
                elif kind is int or kind is float:
                    left -= self.comparisons * _comparison(item)
                elif kind is Decimal:
                    _, digits, exponent = item.as_tuple()
                    if len(digits) + abs(exponent) > _MOST_DIGITS:
                        return False
                    left -= self.comparisons * _DECIMAL
        return left >= 0

    def plus(self, more: "CheckingCost") -> "CheckingCost":
        """Return the cost of both checks."""
        return CheckingCost(
            self.value + more.value, self.character + more.character, self.comparisons + more.comparisons
        )


def _comparison(number: float) -> float:
    """Return the most microseconds that comparing a number with an integer takes: it may become a fraction."""
    if isinstance(number, int) and -_SMALL < number < _SMALL:
        return 0.5
    if -_WIDE < number < _WIDE:
        return 4.0 if isinstance(number, float) and (abs(number) > 1e-6 or not number) else 60.0
    return 60.0 if isinstance(number, float) else 60.0 + number.bit_length()


class _Unknown(Exception):
    """The cost of a schema isn't known."""


def cost_of(schema: JsonObject) -> CheckingCost | None:
    """Return the cost of checking a body against a schema; None if it isn't known."""
    try:
        costs = [_cost(parts) for parts in _places(schema)]
    except (_Unknown, RecursionError):
        return None
    return CheckingCost(*map(max, zip(*costs, strict=True)))


def _places(schema: JsonObject) -> Iterator[Sequence[Any]]:
    """Yield the parts of a schema that check one value, for each kind of place in a body.

    If a part checks the value twice, it is listed twice.
    """
    pending: list[list[Any]] = [[schema]]
    seen: set[frozenset[tuple[int, int]]] = set()
    left = _MOST_STEPS
    while pending:
        parts = list(_together(schema, pending.pop()))
        place = frozenset(Counter(map(id, parts)).items())
        if place in seen:
            continue
        seen.add(place)
        inner = [part for part in parts if isinstance(part, dict)]
        left -= len(parts) * (1 + sum(len(part.get("properties", ())) for part in inner))
        if len(seen) > _MOST_PLACES or left < 0:
            raise _Unknown
        yield parts
        pending += _below(inner)


def _together(schema: JsonObject, parts: Iterable[Any]) -> Iterator[Any]:
    """Yield parts, and those that check the same value with them."""
    pending = list(parts)
    for _ in range(_MOST_PARTS):
        if not pending:
            return
        part = pending.pop()
        yield part
        if isinstance(part, dict):
            if part is not schema and _named(part):
                raise _Unknown
            pending += [part[name] for name in _PARTS if name in part]
            pending += [one for name in _LISTS for one in part.get(name, ())]
            if "$ref" in part:
                pending.append(_target(schema, part["$ref"]))
    # It leads back to itself, or has very many branches.
    raise _Unknown


def _target(schema: JsonObject, reference: str) -> Any:
    """Return the part that a reference names. Raises _Unknown if it isn't a plain pointer to one."""
    found: Any = schema
    if (reference != "#" and not reference.startswith("#/")) or "%" in reference:
        raise _Unknown
    for name in reference.split("/")[1:]:
        # A part with an id is a document of its own, in which references begin anew.
        if not isinstance(found, dict) or (found is not schema and _named(found)):
            raise _Unknown
        found = found.get(name.replace("~1", "/").replace("~0", "~"))
    if not isinstance(found, dict | bool):
        raise _Unknown
    return found


def _named(part: Mapping[str, Any]) -> bool:
    return "$id" in part or "id" in part


def _below(parts: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """Yield what checks each kind of key, and the items, of a value that these parts check."""
    names = {name for part in parts for name in part.get("properties", ())}
    others = [part for part in parts if "additionalProperties" in part]
    for name in names:
        known = [part["properties"][name] for part in parts if name in part.get("properties", ())]
        yield known + [part["additionalProperties"] for part in others if name not in part.get("properties", ())]
    if others:
        yield [part["additionalProperties"] for part in others]
    items = [
        one for part in parts for name in ("prefixItems", "items", "additionalItems") for one in _as_list(part, name)
    ]
    if items:
        # All of them count for each item, although each of `prefixItems` checks only one.
        yield items


def _as_list(part: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = part.get(name, ())
    return found if isinstance(found, list | tuple) else (found,)


def _cost(parts: Iterable[Any]) -> CheckingCost:
    """Return the cost of a value that all of these parts check."""
    total = CheckingCost(0.3)
    for part in parts:
        total = total.plus(CheckingCost(0.1))
        for name, given in part.items() if isinstance(part, dict) else ():
            if name in _FREE or name.startswith("x-"):
                continue
            cost = _KEYWORDS.get(name)
            if cost is None:
                raise _Unknown
            total = total.plus(cost(given))
    return total


def _each(cost: CheckingCost) -> Callable[[Any], CheckingCost]:
    """Return the function that gives the cost of a keyword: `cost` for each member of its value."""

    def of(given: Any) -> CheckingCost:
        count = len(given) if isinstance(given, list | dict) else 1
        return CheckingCost(*(count * one for one in cost))

    return of


def _always(cost: CheckingCost) -> Callable[[Any], CheckingCost]:
    return lambda _: cost


def _compared(members: Iterable[Any]) -> CheckingCost:
    total = CheckingCost()
    for member in members:
        total = total.plus(_comparison_with(member))
    return total


def _comparison_with(member: Any) -> CheckingCost:
    if isinstance(member, list | dict):
        raise _Unknown
    if isinstance(member, str):
        return CheckingCost(0.05 + 0.001 * len(member))
    if isinstance(member, bool) or member is None:
        return CheckingCost(0.05)
    if isinstance(member, int) and member.bit_length() > _MOST_BITS:
        raise _Unknown
    simple = isinstance(member, int) and -_SMALL < member < _SMALL
    return CheckingCost(0.1, comparisons=1.0 if simple else 6.0)


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
    return CheckingCost()


_LOW: Final = CheckingCost(0.1)
_KEYWORDS: Final[Mapping[str, Callable[[Any], CheckingCost]]] = {
    **dict.fromkeys(("required", "properties", "prefixItems"), _each(_LOW)),
    **dict.fromkeys((*_LISTS, *_PARTS, "$ref", "$id", "id", "items", "additionalItems"), _always(_LOW)),
    **dict.fromkeys(("minItems", "maxItems", "minProperties", "maxProperties"), _always(_LOW)),
    **dict.fromkeys(("minLength", "maxLength"), _always(CheckingCost(0.1, 0.002))),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _comparison_with),
    "type": _each(CheckingCost(0.1, comparisons=0.1)),
    "additionalProperties": _always(CheckingCost(0.3)),
    "enum": _compared,
    "const": lambda given: _compared((given,)),
    "format": _format,
    "pattern": _pattern,
    "uniqueItems": _unique,
}
