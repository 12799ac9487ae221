"""A flow's `schema`: the JSON Schema of the bodies that it accepts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from hookline.flows.schemas.checking_cost import CheckingCost, cost_of
from hookline.kernel.errors import Problem
from hookline.kernel.json import JsonObject, encode
from hookline.kernel.pointers_and_patches import pointer_to

MAX_PROBLEMS: Final = 1000
_STEPS: Final = 5000
"""The steps that a pattern that looks around or back may take from one place of a text; above that, the pattern counts
as not matching."""
_MESSAGE: Final = 300


class BodySchema:
    """A compiled JSON Schema: draft 2020-12, unless its `$schema` names another. `format` is checked."""

    def __init__(self, validator: Any, document: bytes, cost: CheckingCost | None) -> None:
        """`document`: the schema as JSON. `cost`: that of a check; None if it isn't known."""
        self._validator = validator
        self.document: Final = document
        self._cost: Final = cost

    def surely_accepts(self, *bodies: Any) -> bool:
        """Return true if bodies are valid, and a bound shows that the check takes milliseconds.

        False means that this isn't known.
        """
        return self._cost is not None and self._cost.is_low(bodies) and all(map(self.accepts, bodies))

    def accepts(self, body: Any) -> bool:
        """Return true if a body is valid. This may take long."""
        valid: bool = self._validator.is_valid(body)
        return valid

    def problems(self, body: Any) -> list[Problem]:
        """The problems of a body, each with its JSON pointer; at most `MAX_PROBLEMS`. This may take long."""
        return [_problem(error) for error in islice(self._validator.iter_errors(body), MAX_PROBLEMS)]

    def first_problem(self, body: Any) -> list[Problem]:
        """The first problem of a body, if it has one. This may take long."""
        try:
            self._validator.validate(body)
        except jsonschema_rs.ValidationError as error:
            return [_problem(error)]
        return []


def problems_of(schema: BodySchema, bodies: Iterable[Any]) -> Iterator[tuple[int, Problem]]:
    """Yield the problems of bodies, each with the index of its body; at most `MAX_PROBLEMS`. This may take long."""
    found = ((index, problem) for index, body in enumerate(bodies) for problem in schema.problems(body))
    return islice(found, MAX_PROBLEMS)


def compile_schema(schema: JsonObject, at: str = "/schema") -> tuple[BodySchema | None, list[Problem]]:
    """Compile a schema; None and its problems if it is invalid. `at`: the pointer of the schema in the flow's document.

    Nothing is fetched: a `$ref` to another document is a problem.
    """
    plain = dict(schema)
    try:
        try:
            validator = _validator(plain, jsonschema_rs.RegexOptions())
        except jsonschema_rs.ValidationError:
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
    return BodySchema(validator, encode(plain), cost_of(plain)), []


def _validator(schema: dict[str, Any], patterns: Any) -> Any:
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, pattern_options=patterns)


def _problem(error: Any) -> Problem:
    return Problem(_short(error.message), pointer_to(error.instance_path), code=f"schema.{error.kind.name}")


def _short(message: str) -> str:
    # The library quotes the invalid value, however large it is.
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE // 2]} … {message[-_MESSAGE // 2 :]}"
