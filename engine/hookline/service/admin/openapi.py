"""The OpenAPI document of the admin API, generated from its routes and records.

quart-schema isn't used, since it loses the definitions of nested msgspec records.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from quart import Quart

from hookline import __version__
from hookline.kernel.json import encode
from hookline.service import problems
from hookline.service.admin.requests import Parameter, Query

_F = TypeVar("_F", bound=Callable[..., Any])
_ATTRIBUTE: Final = "hookline_operation"
_REF: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of a route, besides its path."""

    response: Any
    """The type of the response; None if it has no body."""
    status: int = 200
    query: Query = ()
    """The query parameters, which the route reads by `read_query`."""
    request: Any = None
    """The type of the body."""
    body_required: bool = True
    """False if the body may be left out."""
    open: bool = False
    """True if it needs no token."""
    media_type: str = "application/json"


def operation(response: Any = None, **details: Any) -> Callable[[_F], _F]:
    """Describe a route: see `Operation`."""

    def mark(function: _F) -> _F:
        setattr(function, _ATTRIBUTE, Operation(response, **details))
        return function

    return mark


class Description:
    """The OpenAPI document of an application, as JSON. The routes don't change, so it is made once."""

    def __init__(self) -> None:
        self._json: bytes | None = None

    def json(self, app: Quart) -> bytes:
        if self._json is None:
            self._json = encode(document(app))
        return self._json


def document(app: Quart) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the routes that have a description."""
    marked = [
        (rule, view, getattr(view, _ATTRIBUTE))
        for rule in app.url_map.iter_rules()
        if hasattr(view := app.view_functions[rule.endpoint], _ATTRIBUTE)
    ]
    types = [kind for _, _, it in marked for kind in (it.response, it.request) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    if _PROBLEM_NAME in components:
        raise TypeError(f"a record of the API has the name {_PROBLEM_NAME}, which is that of its errors")
    known = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for rule, view, it in marked:
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(view, sorted(rule.arguments), it, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hookline", "version": __version__, "summary": "The admin API of a Hookline server."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components | {_PROBLEM_NAME: _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(view: Callable[..., Any], arguments: list[str], it: Operation, known: Mapping[str, Any]) -> Any:
    summary, _, description = (inspect.getdoc(view) or "").partition("\n")
    success: dict[str, Any] = {"description": "Done."}
    if it.response is not None:
        success["content"] = {it.media_type: {"schema": known[str(it.response)]}}
    made: dict[str, Any] = {
        "operationId": view.__name__,
        "summary": summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in arguments
        ]
        + [_parameter(one) for one in it.query],
        "responses": {
            str(it.status): success,
            "default": {
                "description": "A problem document (RFC 9457).",
                "content": {
                    problems.MEDIA_TYPE.decode(): {"schema": {"$ref": _REF.format(name=_PROBLEM_NAME)}},
                },
            },
        },
    }
    if description.strip():
        made["description"] = description.strip()
    if it.request is not None:
        made["requestBody"] = {
            "required": it.body_required,
            "content": {"application/json": {"schema": known[str(it.request)]}},
        }
    if it.open:
        made["security"] = []
    return made


def _parameter(it: Parameter) -> dict[str, Any]:
    return {
        "name": it.name,
        "in": "query",
        "description": it.meaning,
        "required": it.required,
        "schema": dict(it.schema),
    }


_PROBLEM_NAME: Final = "ProblemDocument"
_PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "object"}},
    },
}
