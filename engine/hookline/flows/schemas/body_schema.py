"""A flow's `schema`: the JSON Schema of the bodies that it accepts.

jsonschema-rs judges a body of a million values in milliseconds by most schemas, also by a recursive one; the work of
the others is bounded before it starts, and so is listing what is wrong.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from hookline.flows.schemas.problem_listing import Listed, Listing
from hookline.flows.schemas.schema_references import References
from hookline.flows.schemas.schema_work import SchemaWork
from hookline.kernel.errors import Problem
from hookline.kernel.json import JsonObject, is_heavy_value, is_large
from hookline.kernel.pointers_and_patches import pointer_to

MAX_PROBLEMS: Final = 1000
MAX_BACKTRACKING: Final = 1000
"""The most values in a body for a schema with patterns that look around or back."""
_STEPS: Final = 5000
"""The steps that such a pattern may take for one value; then it doesn't match."""
_MESSAGE: Final = 300


class BodySchema:
    """A compiled JSON Schema: draft 2020-12, unless its `$schema` names another. `format` is checked."""

    def __init__(self, validator: Any, work: SchemaWork, listing: Listing, *, backtracks: bool) -> None:
        """`backtracks`: it has patterns whose time backtracking multiplies."""
        self._validator = validator
        self._work = work
        self.has_many_places = work.has_many_places
        """Judging a small body may take milliseconds, too."""
        self._listing = listing
        self._backtracks = backtracks

    def is_slow(self, body: Any) -> bool:
        """Return true if judging a body may take milliseconds."""
        return self.has_many_places or is_heavy_value(body)

    def problems(self, body: Any) -> list[Problem]:
        """The problems of a body, each with its JSON pointer; at most `MAX_PROBLEMS`.

        Only the first is listed, or one without a place, if listing or finding them would take too long.
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
                    remedy="send it in parts, or let the schema compare less: `enum`, `const` and `multipleOf` take "
                    "longest with numbers, most of all with fractions and more than 64 bits, and each branch counts; "
                    "begin a pattern that counts, such as `[A-Z].{40}[0-9]`, with `^`",
                )
            ]
        if self._validator.is_valid(body):
            return []
        listed = self._listing.of(body)
        if listed is Listed.NONE:
            return [
                Problem(
                    "the body doesn't satisfy the schema; it is too large or too deep to find the place",
                    code="schema.not_located",
                    remedy="send a smaller part of it to see what is wrong",
                )
            ]
        errors = self._first(body) if listed is Listed.FIRST else self._validator.iter_errors(body)
        return [_problem(error) for error in islice(errors, MAX_PROBLEMS)]

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
    references = References(plain)
    work, listing = SchemaWork(plain, references), Listing(plain, references)
    return BodySchema(validator, work, listing, backtracks=backtracks), []


def _validator(schema: dict[str, Any], patterns: Any) -> Any:
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, pattern_options=patterns)


def _problem(error: Any) -> Problem:
    return Problem(_short(error.message), pointer_to(error.instance_path), code=f"schema.{error.kind.name}")


def _short(message: str) -> str:
    # The library quotes the invalid value, however large it is.
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE // 2]} … {message[-_MESSAGE // 2 :]}"
