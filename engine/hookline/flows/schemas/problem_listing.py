"""The problems of a body that are listed: the time to list them is bounded before it starts.

jsonschema-rs makes all problems of a value at once, with those of each branch of an `anyOf`, and each of them quotes
the value that it is about. So the work can be many times the size of the body.
"""

from contextlib import suppress
from enum import Enum, auto
from math import inf
from typing import Any, Final

from hookline.flows.schemas.schema_places import (
    AGAIN,
    BRANCHES,
    BY_KEY,
    UNEVALUATED,
    branches_of,
    judges_of_item,
    judges_of_value,
)
from hookline.flows.schemas.schema_references import REFERENCES, References, list_in, object_in, objects
from hookline.kernel.json import JsonObject, is_large

MAX_LISTED: Final = 2000
"""The most values in a body whose problems are all listed."""
MAX_LOCATED: Final = 100_000
"""The most values in a body of which the first problem is listed: to find it, the validator reads all values again."""
LIMIT: Final = 40_000.0
"""The most microseconds for listing."""
_MOST_STEPS: Final = 10_000
"""The most steps to estimate them: a bound for this module's own time."""
_PROBLEM: Final = 6.0
"""The microseconds for a problem."""
_VALUE: Final = 0.1
"""Those for each value that it quotes."""
_CHARACTER: Final = 0.004
"""Those for each character of a text that it quotes."""
_BRANCHES: Final = frozenset(
    {
        *BRANCHES,
        *BY_KEY,
        *("if", "not", "contains"),
        # Several patterns, or a pattern and `properties`, may match one key.
        "patternProperties",
    }
)
"""Keywords that apply several schemas to one value."""
_PARTS: Final = frozenset({"properties", "additionalProperties", "items", "prefixItems", "additionalItems"})
"""Keywords that apply schemas to the parts of a value. A reference beside them may apply others to the same parts."""
_WITHOUT_PROBLEMS: Final = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"),
        *("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$vocabulary", "$defs", "definitions"),
        *_PARTS,
        *("patternProperties", "propertyNames", "if", "then", "else"),
        *REFERENCES,
    }
)
"""Keywords that have no problem of their own."""
_NAMES: Final = ("required", "dependentRequired", "dependencies")
"""Keywords with names, each of which may be missing."""


class Listed(Enum):
    """The problems that are listed: all, the first with its place, or one without a place."""

    ALL = auto()
    FIRST = auto()
    NONE = auto()


class Listing:
    """The bounds of a schema for listing what is wrong with a body."""

    def __init__(self, schema: JsonObject, references: References) -> None:
        self._schema = schema
        self._references = references
        self._branches = any(map(_has_branches, objects(schema)))

    def of(self, body: Any) -> Listed:
        """Return what is listed of a body's problems."""
        if not is_large(body, MAX_LISTED):
            with suppress(_TooMany, RecursionError):
                if _Estimate(self._references).of(self._schema, body) <= LIMIT:
                    return Listed.ALL
        return Listed.NONE if self._branches or is_large(body, MAX_LOCATED) else Listed.FIRST


def _has_branches(schema: dict[str, Any]) -> bool:
    """Return True if a schema may apply several schemas to one value."""
    references = REFERENCES & schema.keys()
    return not _BRANCHES.isdisjoint(schema) or len(references) + (not _PARTS.isdisjoint(schema)) > 1


class _TooMany(Exception):
    """The estimate has too many steps."""


class _Estimate:
    """The most microseconds for listing the problems of one body: each keyword may have one."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._known: dict[tuple[int, int], float] = {}
        self._quotes: dict[int, float] = {}
        self._left = _MOST_STEPS

    def of(self, judge: Any, value: Any) -> float:
        """Return the time for the problems that a schema finds in a value."""
        if not isinstance(judge, dict):
            return _PROBLEM + self._quote(value) if judge is False else 0.0
        at = (id(judge), id(value))
        known = self._known.get(at)
        if known is None:
            self._left -= 1
            if self._left < 0:
                raise _TooMany
            # A schema that leads back to itself for the same value has no bound.
            self._known[at] = inf
            known = self._known[at] = self._own(judge, value) + self._of_parts(judge, value)
        return known

    def _own(self, judge: dict[str, Any], value: Any) -> float:
        problems = len(judge.keys() - _WITHOUT_PROBLEMS) + sum(_count(judge[key]) for key in _NAMES if key in judge)
        if type(value) is dict and "propertyNames" in judge:
            problems += len(value) * len(object_in(judge, "propertyNames"))
        operands = _VALUE * (_count(list_in(judge, "enum")) + _count(judge.get("const")))
        return problems * (_PROBLEM + self._quote(value)) + operands

    def _of_parts(self, judge: dict[str, Any], value: Any) -> float:
        total = sum(self.of(branch, value) for branch in branches_of(judge))
        total += sum(self.of(target, value) for target, _ in self._references.of(judge))
        if not UNEVALUATED.isdisjoint(judge):
            total *= AGAIN
        if type(value) is dict:
            for key, item in value.items():
                total += sum(self.of(inner, item) for inner in judges_of_value(judge, key))
        elif type(value) is list:
            for number, item in enumerate(value):
                total += sum(self.of(inner, item) for inner in judges_of_item(judge, number))
        return total

    def _quote(self, value: Any) -> float:
        if type(value) is str:
            return _VALUE + len(value) * _CHARACTER
        if type(value) not in (dict, list):
            return _VALUE
        known = self._quotes.get(id(value))
        if known is None:
            items = [*value, *value.values()] if type(value) is dict else value
            known = self._quotes[id(value)] = _VALUE + sum(map(self._quote, items))
        return known


def _count(value: Any) -> int:
    """Return how many keys and scalars are in a value."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1
