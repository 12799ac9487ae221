"""The problems of a body that are listed: the time to list them is bounded before it starts.

jsonschema-rs makes all problems of a value at once, with those of each branch of an `anyOf`, and each of them quotes
the value that it is about. So the work can be many times the size of the body.
"""

from contextlib import suppress
from enum import Enum, auto
from math import inf, log
from typing import Any, Final

from hookline.bodies.json import deeper_than
from hookline.flows.compiler.schema_places import REFERENCES, BodyPlaces, Judge, UnknownPlaces, objects
from hookline.flows.compiler.schema_work import Work
from hookline.kernel.json import JsonObject, is_large

MAX_LISTED: Final = 2000
"""The most values in a body whose problems are all listed."""
MAX_NAMED: Final = 500
"""The same if each key of an object may be a problem, which quotes the object."""
MAX_LOCATED: Final = 100_000
"""The most values in a body of which the first problem is listed: to find it, the validator reads all values again."""
_LIMIT: Final = 50_000.0
"""The most microseconds for quoting."""
_TIMES: Final = 64
"""The most times that a recursive schema may judge the same value by its branches."""
_BRANCHES: Final = frozenset(
    {
        *("anyOf", "oneOf", "allOf", "if", "not", "dependentSchemas", "dependencies", "contains"),
        # Several patterns, or a pattern and `properties`, may match one key.
        "patternProperties",
    }
)
"""Keywords that apply several schemas to one value."""
_PARTS: Final = frozenset({"properties", "additionalProperties", "items", "prefixItems", "additionalItems"})
"""Keywords that apply schemas to the parts of a value. A reference beside them may apply others to the same parts."""
_NAMES: Final = ("required", "dependentRequired", "dependencies")
"""Keywords with names, each of which may be missing."""


class Listed(Enum):
    """The problems that are listed: all, the first with its place, or one without a place."""

    ALL = auto()
    FIRST = auto()
    NONE = auto()


class Listing:
    """The bounds of a schema for listing what is wrong with a body."""

    def __init__(self, schema: JsonObject, places: BodyPlaces | None) -> None:
        """`places`: None if they aren't known."""
        self._branches = any(map(_has_branches, objects(schema)))
        self._most = MAX_NAMED if any(map(_judges_names, objects(schema))) else MAX_LISTED
        self._depth = _depth(schema, places) if self._branches else inf
        problems = _most_problems(schema, places) * (_TIMES if self._depth < inf else 1)
        self._quotes = Work(value=0.1 * problems, character=0.004 * problems)

    def of(self, body: Any) -> Listed:
        """Return what is listed of a body's problems."""
        if self._depth < inf and deeper_than(body, int(self._depth)):
            return Listed.NONE
        if not is_large(body, self._most) and self._quotes.left_by(body, _LIMIT) >= 0:
            return Listed.ALL
        return Listed.NONE if self._branches or is_large(body, MAX_LOCATED) else Listed.FIRST


def _has_branches(schema: dict[str, Any]) -> bool:
    """Return True if a schema may apply several schemas to one value."""
    references = REFERENCES & schema.keys()
    return not _BRANCHES.isdisjoint(schema) or len(references) + (not _PARTS.isdisjoint(schema)) > 1


def _judges_names(schema: dict[str, Any]) -> bool:
    return isinstance(schema.get("propertyNames"), dict)


def _most_problems(schema: JsonObject, places: BodyPlaces | None) -> int:
    """Return how many problems may quote the same value."""
    if places is not None:
        with suppress(UnknownPlaces):
            return max(sum(_problems(judge) * times for judge, times in place.judges) for place in places.all())
    return sum(map(_problems, objects(schema)))


def _problems(judge: Judge) -> int:
    """Return how many problems of a schema may quote the same value, without those of the names of its keys."""
    return 1 if isinstance(judge, bool) else 1 + sum(_count(judge[keyword]) for keyword in _NAMES if keyword in judge)


def _count(names: Any) -> int:
    if isinstance(names, dict):
        return sum(map(_count, names.values()))
    return len(names) if isinstance(names, list) else 1


def _depth(schema: JsonObject, places: BodyPlaces | None) -> float:
    """Return how deep a body may be whose problems are listed: references that lead back multiply them by level."""
    if places is None:
        references = sum(len(REFERENCES & part.keys()) for part in objects(schema))
    else:
        references = places.references.leading_back
    return log(_TIMES) / log(references) if references > 1 else inf
