"""What schemathesis is told of the server that it tests; it loads this file by `SCHEMATHESIS_HOOKS`."""

import itertools
import json
import os
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st

#: Things that exist on the server, by the names of the parameters that take them.
EXISTING: Final[dict[str, list[str]]] = json.loads(os.environ["EXISTING"])
_numbers: Final = itertools.count(1)

schemathesis.openapi.format("cursor", st.uuids().map(str))

#: Their cursors are no ids.
_OTHER_CURSORS: Final = {"list_steps", "list_kept"}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send each request from an address of its own, since the invalid tokens of an address are limited.

    Every second case that the document allows names something that exists: of random names, all are unknown.
    """
    number = next(_numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    if not case.meta.generation.mode.is_positive:
        return
    if case.operation.definition.raw.get("operationId") in _OTHER_CURSORS:
        case.query.pop("cursor", None)
    if number % 2 == 0:
        for name in case.path_parameters.keys() & EXISTING.keys():
            case.path_parameters[name] = EXISTING[name][number // 2 % len(EXISTING[name])]
