"""The work of judging a body by a JSON Schema: it holds the interpreter's lock, so it is bounded before it starts.

jsonschema-rs needs about 0.03 µs for most values. Some comparisons take a hundred times as long, such as those of
fractions with `multipleOf`, and of numbers beyond 64 bits. The times here are those of a slow computer.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeGuard
from urllib.parse import unquote

from hookline.bodies.json import MAX_VALUES
from hookline.flows.compiler.alike_items import AlikeItems, is_integer, width_of
from hookline.kernel.json import JsonObject
from hookline.kernel.pointers_and_patches import value_at

LIMIT: Final = 75_000.0
"""The most microseconds for one body."""
REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
"""Keywords with a list of schemas for the same value."""
_SAME_VALUE: Final = ("not", "if", "then", "else")
_BY_KEY: Final = ("dependentSchemas", "dependencies")
"""Keywords with schemas for the same value, by key."""
_ONE_OF_THE_PARTS: Final = (
    *("items", "prefixItems", "additionalItems", "unevaluatedItems"),
    *("properties", "additionalProperties", "unevaluatedProperties"),
)
"""Keywords of whose schemas one judges a part."""
_EACH_PART: Final = ("contains", "propertyNames", "patternProperties")
"""Keywords whose schemas judge a part besides."""
_KEYS: Final = ("required", "dependentRequired", "dependentSchemas", "dependencies")
"""Keywords that look for keys."""
_UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_SIZED: Final = (list, dict)
_BOOLEAN: Final = 0.003
"""The work of a schema that is true or false."""


class Work(NamedTuple):
    """The most microseconds that judging a body takes, for each of its parts."""

    value: float = 0.0
    """For each value."""
    object: float = 0.0
    """For each object, besides."""
    integer: float = 0.0
    """For each integer of at most 64 bits, besides."""
    number: float = 0.0
    """For each other number, and each 128 bits of it, besides."""
    character: float = 0.0
    """For each character of a text or a key, besides."""
    pair: float = 0.0
    """For each two items of a list that a hash may not tell apart, and each 128 bits of them, besides."""

    def exceeds(self, body: Any, limit: float = LIMIT) -> bool:
        """Return true if judging a body may take longer than a limit."""
        value, of_object, integer, number, character, pair = self
        if (value + of_object) * MAX_VALUES <= limit and not (integer or number or character or pair):
            return False
        left = limit
        containers: list[Any] = [[body]]
        while containers:
            container = containers.pop()
            left -= len(container) * value
            items = container
            if type(container) is dict:
                items = container.values()
                left -= of_object
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
                    return True
        return left < 0 or (pair > 0 and AlikeItems(left / pair).exceed(body))


def work_of(schema: JsonObject, *, recursive: bool) -> Work:
    """Return the work of a schema; `recursive`: a reference may lead back to where it stands, or can't be followed."""
    try:
        work = _Estimate(schema).of(schema)
    except RecursionError:
        # By a chain of hundreds of references.
        recursive, work = True, Work()
    # What such a reference leads to isn't counted in its place, so each part counts once.
    return _most((work, _sum(map(_own, objects(schema))))) if recursive else work


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


class _Estimate:
    """The work of the parts of a schema. A part that contains itself is counted without the inner one."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._known: dict[int, Work] = {}

    def of(self, schema: Any) -> Work:
        """Return the work of a schema, or of the list of schemas that a keyword has."""
        if isinstance(schema, list):
            return _most(map(self.of, schema))
        if not isinstance(schema, dict):
            return Work(value=_BOOLEAN) if isinstance(schema, bool) else Work()
        known = self._known.get(id(schema))
        if known is None:
            self._known[id(schema)] = Work()
            known = self._known[id(schema)] = self._made(schema)
        return known

    def _made(self, schema: dict[str, Any]) -> Work:
        here = _most((_own(schema), self._of_parts(schema)))
        branches = _sum(map(self.of, self._of_the_same_value(schema)))
        if _UNEVALUATED.isdisjoint(schema):
            return _sum((here, branches))
        # They are judged again to find what they haven't judged.
        return _sum((here, branches, branches, branches))

    def _of_parts(self, schema: dict[str, Any]) -> Work:
        one = _most(map(self.of, _schemas(schema, _ONE_OF_THE_PARTS)))
        return _sum((one, *map(self.of, _schemas(schema, _EACH_PART))))

    def _of_the_same_value(self, schema: dict[str, Any]) -> Iterator[Any]:
        for keyword in _BRANCHES:
            branches = schema.get(keyword)
            if isinstance(branches, list):
                yield from branches
        yield from _schemas(schema, (*_SAME_VALUE, *_BY_KEY))
        for keyword in REFERENCES:
            reference = schema.get(keyword)
            if isinstance(reference, str) and reference.startswith("#"):
                with suppress(LookupError, TypeError, ValueError):
                    yield value_at(self._root, unquote(reference[1:]))


def _schemas(schema: dict[str, Any], keywords: Iterable[str]) -> Iterator[Any]:
    """Yield the schemas of some keywords; those that stand in an object one by one."""
    for keyword in keywords:
        found = schema.get(keyword)
        if isinstance(found, dict) and keyword in (*_BY_KEY, "properties", "patternProperties"):
            yield from found.values()
        elif found is not None:
            yield found


def _own(schema: dict[str, Any]) -> Work:
    """The work of a schema itself, without those that it contains."""
    works = [Work(value=0.03)]
    works += [_comparison(schema[keyword]) for keyword in _BOUNDS if _is_number(schema.get(keyword))]
    if "const" in schema:
        works += [_equality(schema["const"])]
    listed = schema.get("enum")
    if isinstance(listed, list):
        works += [_membership(listed)]
    works += [Work(object=0.02 * len(schema[keyword])) for keyword in _KEYS if isinstance(schema.get(keyword), _SIZED)]
    if schema.get("uniqueItems") is True:
        works += [Work(value=0.15, number=0.8, pair=0.6)]
    if "pattern" in schema:
        works += [Work(value=0.1, character=0.003)]
    if "format" in schema:
        works += [Work(value=0.3, character=0.04 if schema["format"] == "idn-hostname" else 0.003)]
    if "contentMediaType" in schema or "contentEncoding" in schema:
        works += [Work(value=0.3, character=0.1)]
    patterns = schema.get("patternProperties")
    if isinstance(patterns, dict):
        works += [Work(value=0.1 * len(patterns), character=0.003 * len(patterns))]
    return _sum(works)


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
