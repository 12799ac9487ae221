"""Reading the requests of the admin API: paths, queries and bodies."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from quart import request
from werkzeug.exceptions import RequestEntityTooLarge

from hookline.deployments.deployment_request import Expected
from hookline.engine import Engine
from hookline.flows.documents.read import too_large
from hookline.kernel.errors import DeploymentConflict, Malformed, TooLarge, UnsupportedMedia
from hookline.model.flow import FLOW_ID

_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_FLOW_ID_LENGTH: Final = 100
_FLOW_ID: Final = re.compile(FLOW_ID)
FlowId: TypeAlias = Annotated[str, msgspec.Meta(pattern=FLOW_ID, max_length=_FLOW_ID_LENGTH)]
ExecutionId: TypeAlias = Annotated[str, msgspec.Meta(pattern=_UUID, extra_json_schema={"format": "uuid"})]
_CAUSE: Final = re.compile("^[^:]+:.")
"""Compiled, so that the growth test knows it: a client may send a long text."""
Cause: TypeAlias = Annotated[str, msgspec.Meta(pattern=_CAUSE.pattern)]
FLOW_SCHEMA: Final = {"type": "string", "pattern": FLOW_ID, "maxLength": _FLOW_ID_LENGTH}
CAUSE_SCHEMA: Final = {"type": "string", "pattern": _CAUSE.pattern}
EXECUTION_SCHEMA: Final = {"type": "string", "format": "uuid"}
CURSOR_SCHEMA: Final = {"type": "string", "minLength": 1, "format": "cursor"}
"""The format is that of the list: clients take cursors from pages, and don't make them."""
MAX_LIMIT: Final = 200
_LIMIT: Final = 50

_T = TypeVar("_T")


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query: what reads it also describes it in the API's description."""

    name: str
    meaning: str
    schema: Mapping[str, Any] = msgspec.field(default_factory=lambda: {"type": "string", "minLength": 1})
    """JSON Schema; its `default` is the value of a parameter that is left out."""
    read: Callable[[str], Any] | None = None
    """Return the value of a text. Raises ValueError, which says what the parameter is. None if it is a text that fits
    the schema."""
    required: bool = False

    def value(self, text: str) -> Any:
        """Return the value of a text. Raises ValueError, which says what the parameter is."""
        return _read_text(text, self.schema) if self.read is None else self.read(text)


def _read_text(text: str, schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
    if not least <= len(text) <= most:
        raise ValueError("a text that isn't empty" if not text else f"a text of at most {most} characters")
    if re.search(schema.get("pattern", ""), text) is None:
        raise ValueError(f"a text of the form {schema['pattern']}")
    if text not in schema.get("enum", (text,)):
        raise ValueError(f"one of {', '.join(schema['enum'])}")
    if schema.get("format") == "uuid" and re.search(_UUID, text) is None:
        raise ValueError("the whole id of an execution")
    return text


Query: TypeAlias = tuple[Parameter, ...]


def choice(name: str, meaning: str, of: type[StrEnum], default: StrEnum | None = None) -> Parameter:
    """A parameter that is one of a few words."""
    known = [one.value for one in of]

    def read(text: str) -> StrEnum:
        if text not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return of(text)

    schema = {"type": "string", "enum": known}
    return Parameter(name, meaning, schema if default is None else schema | {"default": default}, read)


def flag(name: str, meaning: str) -> Parameter:
    """A parameter that is true or false, and false if it is left out."""

    def read(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError("true or false")
        return text == "true"

    return Parameter(name, meaning, {"type": "boolean", "default": False}, read)


def time(name: str, meaning: str) -> Parameter:
    """A parameter that is a time with its offset."""
    return Parameter(name, meaning, {"type": "string", "format": "date-time"}, read_time)


def read_time(text: str) -> datetime:
    """Read a time, in UTC. Raises ValueError, which shows an example."""
    try:
        at = datetime.fromisoformat(text)
        # A time at the end of the calendar may have no equal in UTC, and nothing that is stored could show it.
        utc = None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        utc = None
    if utc is None:
        raise ValueError("a time such as 2026-01-31T08:00:00Z")
    return utc


def read_number(text: str, least: int, most: int) -> int:
    """Read a whole number that has at most as many digits as the largest one. Raises ValueError, which says the
    bounds."""
    # The length comes first: reading takes as long as the square of the number of digits.
    if not (len(text) <= len(str(most)) and text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"a number from {least} to {most}")
    return int(text)


def read_limit(text: str) -> int:
    return read_number(text, 1, MAX_LIMIT)


PAGE: Final[Query] = (
    Parameter("cursor", "Where the page starts: the `next` of the page before.", CURSOR_SCHEMA),
    Parameter(
        "limit",
        "How many items.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": _LIMIT},
        read_limit,
    ),
)
"""The query parameters of a list."""


def read_query(parameters: Query) -> dict[str, Any]:
    """The values of a request's query parameters by name; one that is left out is its default, or None.

    Raises Malformed. Unknown parameters are rejected, since a misspelt filter would match too much.
    """
    given: dict[str, list[str]] = request.args.to_dict(flat=False)
    unknown = sorted(given.keys() - {one.name for one in parameters})
    if unknown:
        known = f"there are {', '.join(one.name for one in parameters)}" if parameters else "this request has none"
        raise Malformed(f"There is no parameter {unknown[0]!r}; {known}.")
    return {one.name: _value(one, given.get(one.name, [])) for one in parameters}


def _value(parameter: Parameter, given: list[str]) -> Any:
    if len(given) > 1:
        raise Malformed(f"{parameter.name} is given {len(given)} times; give it once.")
    if not given:
        if parameter.required:
            raise Malformed(f"Give ?{parameter.name}=…: {parameter.meaning}")
        return parameter.schema.get("default")
    try:
        return parameter.value(given[0])
    except ValueError as error:
        raise Malformed(f"{parameter.name} is {error}, not {given[0][:100]!r}.") from None


async def page_or_malformed(page: Awaitable[_T]) -> _T:
    """Await a page of a list. Raises Malformed if the cursor is wrong."""
    try:
        return await page
    except ValueError as error:
        raise Malformed(f"The cursor is wrong: {error}.") from None


def read_conditions() -> Expected | None:
    """The version that is expected by the headers `If-Match` and `If-None-Match`; None if they say nothing.

    Raises Malformed, and DeploymentConflict if nothing can fit both.
    """
    if "If-None-Match" in request.headers:
        if not request.if_none_match.star_tag:
            raise Malformed("If-None-Match is *, for what doesn't exist yet; otherwise, use If-Match.")
        if "If-Match" in request.headers:
            raise DeploymentConflict("If-Match and If-None-Match: * exclude each other: leave out one of them")
        return Expected(absent=True)
    if "If-Match" not in request.headers:
        return None
    wanted = request.if_match
    return Expected(None if wanted.star_tag else frozenset(wanted.as_set()), by_tag=True)


def decode_body(data: str | bytes, kind: type[_T]) -> _T:
    """Decode a body. Raises Malformed."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The body is wrong: {error}.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None


async def require_flow(engine: Engine, flow_id: str | None) -> None:
    """Raise FlowNotFound for a flow that is neither in the folder nor in the store; None is no flow."""
    if flow_id is None or flow_id in engine.catalog.entries:
        return
    before = await engine.store.flows_with_history()
    if flow_id not in before and not await engine.store.flow_versions(flow_id):
        raise engine.catalog.missing(flow_id, before)


def check_flow_id(flow_id: str) -> None:
    """Raise Malformed unless a flow may have this id."""
    if len(flow_id) > _FLOW_ID_LENGTH or _FLOW_ID.search(flow_id) is None:
        raise Malformed(
            "A flow's id consists of at most 100 lower-case letters, digits and single dashes between them."
        )


async def read_body() -> bytes:
    """The body of a request, which is JSON. Raises TooLarge and UnsupportedMedia.

    Other types are rejected, because a page of another site can send them without a CORS preflight.
    """
    try:
        raw: Any = await request.get_data(as_text=False)
    except RequestEntityTooLarge:
        raise TooLarge from None
    data, kind = bytes(raw), request.mimetype
    if data and kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMedia(f"The body is application/json, and not {kind[:100]}.")
    return data


def bounded_document(text: bytes) -> bytes:
    """Return the document of a flow, or its cases. Raises TooLarge."""
    if wrong := too_large(text):
        raise TooLarge(f"{wrong[0].upper()}{wrong[1:]}.")
    return text


async def body_of(kind: type[_T]) -> _T:
    """Decode the body of a request, which may be left out. Raises Malformed."""
    data = await read_body()
    return decode_body(data if data.strip() else b"{}", kind)
