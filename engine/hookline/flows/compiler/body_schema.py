"""A flow's `schema`: the JSON Schema of the bodies that it accepts.

jsonschema-rs validates a large body about a hundred times as fast as jsonschema, so it doesn't block the event loop.
It also limits backtracking in regular expressions.
"""

from itertools import islice
from typing import Any, Final

import jsonschema_rs

from hookline.kernel.errors import Problem
from hookline.kernel.json import JsonObject
from hookline.kernel.pointer import pointer_to

MAX_PROBLEMS: Final = 1000
_MESSAGE: Final = 300


class BodySchema:
    """A compiled JSON Schema: draft 2020-12, unless its `$schema` names another. `format` is checked."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def problems(self, body: Any) -> list[Problem]:
        """All problems of a body, each with its JSON pointer; at most `MAX_PROBLEMS`."""
        if self._validator.is_valid(body):
            return []
        return [
            Problem(_short(error.message), pointer_to(error.instance_path), code=f"schema.{error.kind.name}")
            for error in islice(self._validator.iter_errors(body), MAX_PROBLEMS)
        ]


def compile_schema(schema: JsonObject, at: str = "/schema") -> tuple[BodySchema | None, list[Problem]]:
    """Compile a schema; None and its problems if it is invalid. `at`: the pointer of the schema in the flow's document.

    Nothing is fetched: a `$ref` to another document is a problem.
    """
    try:
        validator = jsonschema_rs.validator_for(
            dict(schema),
            validate_formats=True,
            offline=True,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000),
        )
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
    return BodySchema(validator), []


def _short(message: str) -> str:
    # The library quotes the invalid value, however large it is.
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE // 2]} … {message[-_MESSAGE // 2 :]}"
