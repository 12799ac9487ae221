"""The OpenAPI document of the admin API, generated from its routes and records.

quart-schema isn't used, since it loses the definitions of nested msgspec records.
"""

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar, get_origin

import msgspec
from quart import Quart

from hookline import __version__
from hookline.kernel.errors import (
    AuthorizationUnknown,
    DeploymentConflict,
    DeploymentNotFound,
    ExecutionNotFound,
    FlowNotFound,
    HooklineError,
    Malformed,
    NoConnectors,
    NodeNotFound,
    NotForLimitedTokens,
    ScopeTooSmall,
    ServiceUnavailable,
    StepError,
    StoreError,
    TokenInvalid,
    TokenNotFound,
    TooLarge,
    TooManyRequests,
    UnsupportedMedia,
    WrongHost,
    WrongOrigin,
)
from hookline.kernel.json import encode
from hookline.model.access import TokenScope
from hookline.service import problem_documents
from hookline.service.admin.request_reading import CAUSE_SCHEMA, FLOW_SCHEMA, Parameter, Query
from hookline.service.admin.responses import CredentialMissing

_F = TypeVar("_F", bound=Callable[..., Any])
_ATTRIBUTE: Final = "hookline_operation"
_REF: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of a route, besides its path."""

    response: Any
    """The type of the response; None if it has no body."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Further statuses with the same type of response."""
    errors: Sequence[type[HooklineError]] = ()
    """The errors of this route, besides those that follow from its description."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Patterns of parameters of the path that differ from the usual ones."""
    query: Query = ()
    """The query parameters, which the route reads by `read_query`."""
    conditions: bool = False
    """True if it reads `If-Match` and `If-None-Match`."""
    headers: Query = ()
    """Further headers that it reads."""
    etag: bool = False
    """True if its response has an `ETag`, unless there is nothing to tag."""
    request: Any = None
    """The type of the body."""
    body_required: bool = True
    """False if the body may be left out."""
    open: bool = False
    """True if it needs no token."""
    scope: TokenScope = TokenScope.READ
    """The scope that a token needs."""
    all_flows: bool = False
    """True if it concerns the whole server, so that a token that is limited to some flows doesn't allow it."""
    connectors: bool = False
    """True if it needs connectors, which a node with the role webhook doesn't load."""
    media_type: str = "application/json"

    @property
    def read_headers(self) -> Query:
        """All headers that it reads, besides those of each request."""
        return (*CONDITIONS, *self.headers) if self.conditions else self.headers


CONDITIONS: Final[Query] = (
    Parameter("If-Match", "Entity tags: the status is 412 if the current one isn't among them.", {"type": "string"}),
    Parameter("If-None-Match", "`*`: the status is 412 if there is one already.", {"type": "string", "enum": ["*"]}),
)


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """Return the description of a route's function; None if it has none."""
    found: Operation | None = getattr(view, _ATTRIBUTE, None)
    return found


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
        (rule, view, it)
        for rule in app.url_map.iter_rules()
        if (it := operation_of(view := app.view_functions[rule.endpoint])) is not None
    ]
    given = [it.request for _, _, it in marked if it.request is not None]
    returned = [it.response for _, _, it in marked if it.response is not None]
    known, components = _schemas(given, returned)
    paths: dict[str, dict[str, Any]] = {}
    for rule, view, it in marked:
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(method, view, sorted(rule.arguments), it, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hookline",
            "version": __version__,
            "summary": "The admin API of a Hookline server.",
            "description": "A request that isn't well-formed HTTP is rejected before it reaches an operation, with a "
            "problem document: 400, 405, 408 or 431.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components | {_PROBLEM_NAME: _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _SECURITY}},
        },
        "security": [{"token": []}],
    }


_SECURITY: Final = (
    "A token. A browser may send the cookie of a session instead, which `POST /api/v1/session` sets. Then requests "
    "other than GET and HEAD need the `Origin` of the setting `admin_url`."
)


def _schemas(given: Sequence[Any], returned: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of types by their texts, and of all records by their names."""
    types = [*given, *returned]
    in_responses = sorted(_records(returned) - _records(given), key=str)
    schemas, components = msgspec.json.schema_components([*types, *in_responses], ref_template=_REF)
    if _PROBLEM_NAME in components:
        raise TypeError(f"a record of the API has the name {_PROBLEM_NAME}, which is that of its errors")
    for record, schema in zip(in_responses, schemas[len(types) :], strict=True):
        described = components[schema["$ref"].rpartition("/")[2]]
        described["required"] = [one.encode_name for one in msgspec.inspect.type_info(record).fields if _always(one)]  # type: ignore[attr-defined]  # it is a record
    for schema in components.values():
        # Python itself removes the indentation of a docstring from 3.13 on.
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        _tell_defaults(schema)
        _leave_tuples_open(schema)
    return dict(zip(map(str, types), schemas, strict=False)), components


def _tell_defaults(schema: dict[str, Any]) -> None:
    """Move the defaults of an object's keys into their descriptions.

    Client generators regard a key with a default as always present, which isn't so in requests.
    """
    for one in schema.get("properties", {}).values():
        default = one.pop("default", None)
        # Readers expect an empty value if a key is left out.
        if default not in (None, {}, [], ""):
            one["description"] = f"By default `{encode(default).decode()}`."


def _leave_tuples_open(schema: Any) -> None:
    """Remove `"items": false` of tuples, which `maxItems` says as well: client generators don't know it."""
    if isinstance(schema, dict):
        if schema.get("items") is False:
            del schema["items"]
        for inner in schema.values():
            _leave_tuples_open(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _leave_tuples_open(inner)


def _records(types: Sequence[Any]) -> set[Any]:
    """The records in types, with those in their fields."""
    found: set[Any] = set()
    left: list[Any] = list(msgspec.inspect.multi_type_info(types))
    while left:
        kind = left.pop()
        if isinstance(kind, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
            if kind.cls in found:
                continue
            config = getattr(get_origin(kind.cls) or kind.cls, "__struct_config__", None)
            if config is None or not config.omit_defaults:
                found.add(kind.cls)
            left += [one.type for one in kind.fields]
        left += [getattr(kind, name) for name in _PARTS if isinstance(getattr(kind, name, None), msgspec.inspect.Type)]
        for name in _PLURALS:
            left += getattr(kind, name, ())
    return found


_PARTS: Final = ("type", "item_type", "key_type", "value_type")
_PLURALS: Final = ("types", "item_types")


def _always(one: msgspec.inspect.Field) -> bool:
    """Return true for a field that is always in a response, as fields with a default are."""
    return one.default is not msgspec.UNSET


class _PathParameter(NamedTuple):
    schema: Mapping[str, Any]
    errors: tuple[type[HooklineError], ...] = ()
    """The errors for a value that doesn't exist."""


_UUID: Final = {"type": "string", "format": "uuid"}
_ANY: Final = {"type": "string", "minLength": 1}
_CREDENTIAL: Final = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    # It names an operation of its own.
    "not": {"const": "rotate"},
}
_PATH: Final[Mapping[str, _PathParameter]] = {
    "flow_id": _PathParameter(FLOW_SCHEMA, (FlowNotFound,)),
    "execution_id": _PathParameter(_UUID, (ExecutionNotFound,)),
    "token_id": _PathParameter(_UUID, (TokenNotFound,)),
    "deployment_id": _PathParameter(_UUID, (DeploymentNotFound,)),
    "request_id": _PathParameter(_UUID),
    "node_id": _PathParameter(_ANY, (NodeNotFound,)),
    "version": _PathParameter({"type": "string", "pattern": "^([0-9a-f]{1,64}|current)$"}),
    "part": _PathParameter({"type": "string", "pattern": "^[0-9a-f-]{1,36}$"}),
    "cause": _PathParameter(CAUSE_SCHEMA, (ExecutionNotFound,)),
    "component": _PathParameter(_ANY),
    "setting": _PathParameter(_ANY),
    "name": _PathParameter(_CREDENTIAL, (CredentialMissing,)),
    "id": _PathParameter(_ANY, (AuthorizationUnknown,)),
}


def _path_parameter(name: str) -> _PathParameter:
    found = _PATH.get(name)
    if found is None:
        raise TypeError(f"describe the path parameter {name} in {__name__}")
    return found


def _path_schema(name: str, it: Operation) -> dict[str, Any]:
    usual = dict(_path_parameter(name).schema)
    return usual | {"pattern": it.path[name]} if name in it.path else usual


def _operation(
    method: str, view: Callable[..., Any], arguments: list[str], it: Operation, known: Mapping[str, Any]
) -> Any:
    summary, _, description = (inspect.getdoc(view) or "").partition("\n")
    success: dict[str, Any] = {"description": "Done."}
    if it.etag:
        success["headers"] = {"ETag": _header("The version, for `If-Match`.", required=False)}
    if it.response is not None:
        success["content"] = {it.media_type: {"schema": known[str(it.response)]}}
    answers = {str(status): copy.deepcopy(success) for status in (it.status, *it.also)}
    for status, codes in _problems(method, it, arguments).items():
        answer = answers.setdefault(str(status), {"description": HTTPStatus(status).phrase})
        if status in _HEADERS:
            answer["headers"] = copy.deepcopy(dict(_HEADERS[status]))
        answer.setdefault("content", {})[problem_documents.MEDIA_TYPE.decode()] = {"schema": _problem(status, codes)}
    made: dict[str, Any] = {
        "operationId": view.__name__,
        "summary": summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _path_schema(name, it)} for name in arguments
        ]
        + [_parameter(one, "query") for one in it.query]
        + [_parameter(one, "header") for one in it.read_headers],
        "responses": dict(sorted(answers.items())),
        "security": [] if it.open else [{"token": [it.scope.value]}],
    }
    if it.all_flows:
        made["x-all-flows"] = True
    if description.strip():
        made["description"] = description.strip()
    if it.request is not None:
        made["requestBody"] = {
            "required": it.body_required,
            "content": {"application/json": {"schema": known[str(it.request)]}},
        }
    return made


#: The errors of every request: one that can't be read, and one that can't be handled now.
_ALWAYS: Final = (Malformed, ServiceUnavailable, HooklineError)
_WITH_TOKEN: Final = (TokenInvalid, WrongHost, TooManyRequests, StoreError)
_WITH_BODY: Final = (TooLarge, UnsupportedMedia)


def _problems(method: str, it: Operation, arguments: Sequence[str]) -> dict[int, set[str] | None]:
    """The codes of an operation's problems by status; None if they aren't known, like those of services."""
    kinds: list[type[HooklineError]] = [*_ALWAYS]
    if not it.open:
        kinds += _WITH_TOKEN
    if not it.open and method != "GET":
        kinds.append(WrongOrigin)
    if not it.open and it.scope is not TokenScope.READ:
        kinds.append(ScopeTooSmall)
    if it.all_flows and not it.open:
        kinds.append(NotForLimitedTokens)
    if it.connectors:
        kinds.append(NoConnectors)
    if it.conditions:
        kinds.append(DeploymentConflict)
    if it.request is not None:
        kinds += _WITH_BODY
    if any(one.name == "flow_id" for one in it.query):
        kinds.append(FlowNotFound)
    for name in arguments:
        kinds += _path_parameter(name).errors
    own = [kind for error in it.errors for kind in _with_subclasses(error)]
    found: dict[int, set[str] | None] = {}
    if arguments:
        # A value with a slash is another path, which may have other methods.
        found |= {404: {"http.404"}, 405: {"http.405"}}
    for kind in (*kinds, *own):
        codes = found.setdefault(kind.status, set())
        if issubclass(kind, StepError):
            found[kind.status] = None
        elif codes is not None:
            codes.add(kind.code)
    return found


def _with_subclasses(kind: type[HooklineError]) -> list[type[HooklineError]]:
    return [kind, *(inner for one in kind.__subclasses__() for inner in _with_subclasses(one))]


def _header(description: str, kind: str = "string", *, required: bool = True) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": kind}}


_AGAIN: Final = {"Retry-After": _header("Seconds after which a request may succeed.", "integer")}
_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": _header("`Bearer`.")},
    405: {"Allow": _header("The methods of the path.")},
    429: _AGAIN,
    503: _AGAIN,
}
"""The headers that problems of a status have."""


def _problem(status: int, codes: set[str] | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"status": {"type": "integer", "enum": [status]}}
    if codes is not None:
        properties["code"] = {"type": "string", "enum": sorted(codes)}
    return {"allOf": [{"$ref": _REF.format(name=_PROBLEM_NAME)}, {"properties": properties}]}


def _parameter(it: Parameter, place: str) -> dict[str, Any]:
    return {
        "name": it.name,
        "in": place,
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
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "problems": {
            "type": "array",
            "maxItems": problem_documents.MAX_PROBLEMS,
            "items": {
                "type": "object",
                "required": ["detail", "pointer", "code"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string"},
                    "code": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
        },
    },
}
