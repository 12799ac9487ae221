"""A flow's `schema`: the JSON Schema of the bodies that it accepts.

jsonschema-rs judges a body of a million values in milliseconds by most schemas, also by a recursive one; the work of
the others is bounded before it starts. Listing what is wrong can take any time: it collects all problems at once, and
those of each branch of an `anyOf`, which a recursive schema multiplies at each level. So the problems of a body are
only listed within bounds, and otherwise the first one, or none.
"""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs

from hookline.bodies.json import deeper_than
from hookline.flows.compiler.schema_work import REFERENCES, Work, objects, work_of
from hookline.kernel.errors import Problem
from hookline.kernel.json import JsonObject, is_large
from hookline.kernel.pointers_and_patches import pointer_to, value_at

MAX_PROBLEMS: Final = 1000
MAX_LISTED: Final = 2000
"""The most values in a body whose problems are all listed."""
MAX_LOCATED: Final = 100_000
"""The most values in a body of which the first problem is listed: to find it, the validator reads all values again."""
_MAX_DEPTH: Final = 6
"""The deepest body whose problems are listed if each level multiplies them."""
MAX_BACKTRACKING: Final = 1000
"""The most values in a body for a schema with patterns that look around or back."""
_STEPS: Final = 5000
"""The steps that such a pattern may take for one value; then it doesn't match."""
_MESSAGE: Final = 300
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
_IDS: Final = ("$id", "id")
"""Keywords that make a part of a schema a document of its own: pointers in it have another meaning."""


class BodySchema:
    """A compiled JSON Schema: draft 2020-12, unless its `$schema` names another. `format` is checked."""

    def __init__(self, validator: Any, work: Work, *, backtracks: bool, branches: bool, recursive: bool) -> None:
        """`backtracks`: it has patterns whose time backtracking multiplies; `branches`: it applies
        several schemas to a value; `recursive`: it refers to itself."""
        self._validator = validator
        self._work = work
        self._backtracks = backtracks
        self._branches = branches
        self._multiplies = branches and recursive

    def problems(self, body: Any) -> list[Problem]:
        """The problems of a body, each with its JSON pointer; at most `MAX_PROBLEMS`.

        Only the first is listed for a body of more than `MAX_LISTED` values, and one without a place for a body of more
        than `MAX_LOCATED` values, or if finding it takes too long.
        """
        if self._backtracks and is_large(body, MAX_BACKTRACKING):
            return [
                Problem(
                    f"a pattern of the schema looks around or back, so a body has at most {MAX_BACKTRACKING:,} values",
                    code="schema.too_many_values",
                    remedy="send it in parts, or write the pattern without `(?=`, `(?!`, `(?<` and `\\1`",
                )
            ]
        if self._work.exceeds(body):
            return [
                Problem(
                    "checking this body against the schema would take so long that other requests would have to wait",
                    code="schema.too_many_values",
                    remedy="send it in parts, or let the schema compare less: numbers take longest, in `enum` and "
                    "`const`, with `multipleOf`, and with fractions or more than 64 bits; each branch counts",
                )
            ]
        if self._validator.is_valid(body):
            return []
        many = is_large(body, MAX_LISTED)
        if (many and (self._branches or is_large(body, MAX_LOCATED))) or (
            self._multiplies and deeper_than(body, _MAX_DEPTH)
        ):
            return [
                Problem(
                    "the body doesn't satisfy the schema; it is too large or too deep to find the place",
                    code="schema.not_located",
                    remedy="send a smaller part of it to see what is wrong",
                )
            ]
        errors = self._first(body) if many else islice(self._validator.iter_errors(body), MAX_PROBLEMS)
        return [_problem(error) for error in errors]

    def _first(self, body: Any) -> Iterable[Any]:
        try:
            self._validator.validate(body)
        except jsonschema_rs.ValidationError as error:
            return [error]
        return []


def compile_schema(schema: JsonObject, at: str = "/schema") -> tuple[BodySchema | None, list[Problem]]:
    """Compile a schema; None and its problems if it is invalid. `at`: the pointer of the schema in the flow's document.

    Nothing is fetched: a `$ref` to another document is a problem.
    """
    plain = dict(schema)
    backtracks = False
    try:
        try:
            validator = _validator(plain, jsonschema_rs.RegexOptions())
        except jsonschema_rs.ValidationError:
            backtracks = True
            validator = _validator(plain, jsonschema_rs.FancyRegexOptions(backtrack_limit=_STEPS))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        path = getattr(error, "instance_path", ())
        message = _short(str(getattr(error, "message", "") or error).partition("\n")[0])
        return None, [
            Problem(
                f"this is not a JSON Schema: {message}",
                at + pointer_to(path),
                code="schema.invalid",
                remedy="see https://json-schema.org; a $ref must stay within the schema",
            )
        ]
    branches = any(map(_has_branches, objects(plain)))
    recursive = _is_recursive(plain)
    work = work_of(plain, recursive=recursive)
    return BodySchema(validator, work, backtracks=backtracks, branches=branches, recursive=recursive), []


def _validator(schema: dict[str, Any], patterns: Any) -> Any:
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, pattern_options=patterns)


def _has_branches(schema: dict[str, Any]) -> bool:
    """Return True if a schema may apply several schemas to one value."""
    references = REFERENCES & schema.keys()
    return not _BRANCHES.isdisjoint(schema) or len(references) + (not _PARTS.isdisjoint(schema)) > 1


def _is_recursive(schema: dict[str, Any]) -> bool:
    """Return True if a schema may refer to itself; a reference that isn't followed here counts as one that does."""
    if any(isinstance(part.get(key), str) for part in objects(schema) if part is not schema for key in _IDS):
        return True
    graph: dict[str, set[str]] = {}
    left = set(_references(schema))
    while left:
        name = left.pop()
        if not name.startswith("#/"):
            return True
        try:
            target = value_at(schema, unquote(name[1:]))
        except (LookupError, TypeError, ValueError):
            return True
        graph[name] = set(_references(target))
        left |= graph[name] - graph.keys()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


def _references(schema: Any) -> Iterator[str]:
    for part in objects(schema):
        for key in REFERENCES:
            if isinstance(part.get(key), str):
                yield part[key] if key == "$ref" else "#"


def _problem(error: Any) -> Problem:
    return Problem(_short(error.message), pointer_to(error.instance_path), code=f"schema.{error.kind.name}")


def _short(message: str) -> str:
    # The library quotes the invalid value, however large it is.
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE // 2]} … {message[-_MESSAGE // 2 :]}"
