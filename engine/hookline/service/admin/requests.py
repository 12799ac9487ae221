"""Reading the requests of the admin API, and writing its responses."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from quart import Response, request

from hookline.engine import Engine
from hookline.kernel.errors import (
    AuthorizationUnknown,
    CannotSign,
    CredentialError,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    HooklineError,
    IllegalStateChange,
    Malformed,
    NoOptions,
    NotReplayable,
    OptionsNotReady,
    PollStartsAnew,
    Problem,
    ProvenanceUnknown,
    RedactedUnreadable,
    RequestRejected,
    StateKeyNotFound,
    StepError,
    StoreError,
    UnpublishedChanges,
)
from hookline.kernel.json import encode
from hookline.service.problems import MEDIA_TYPE, problem_body

MAX_LIMIT: Final = 200
PAGE: Final = {
    "cursor": "Where the page starts: the `next` of the page before.",
    "limit": f"How many items, from 1 to {MAX_LIMIT}; 50 by default.",
}
"""The query parameters of a list."""

_T = TypeVar("_T")


def json_response(value: Any, status: int = 200) -> Response:
    """A record as a JSON response."""
    return Response(encode(value), status, content_type="application/json")


def query(*names: str) -> dict[str, str]:
    """The query parameters of a request. Unknown ones are rejected, since a misspelt filter would match too much."""
    unknown = sorted(set(request.args) - set(names))
    if unknown:
        raise Malformed(f"There is no parameter {unknown[0]!r}; there are {', '.join(names)}.")
    return {name: value for name in names if (value := request.args.get(name)) is not None}


def page_limit(text: str | None) -> int:
    """The number of items in a page. Raises Malformed."""
    if text is None:
        return 50
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise Malformed(f"limit is a number from 1 to {MAX_LIMIT}.")
    return int(text)


async def page_or_malformed(page: Awaitable[_T]) -> _T:
    """Await a page of a list. Raises Malformed if the cursor is wrong."""
    try:
        return await page
    except ValueError as error:
        raise Malformed(f"The cursor is wrong: {error}.") from None


def decode_body(data: str | bytes, kind: type[_T]) -> _T:
    """Decode a body. Raises Malformed."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The body is wrong: {error}.") from None


async def require_flow(engine: Engine, flow_id: str | None) -> None:
    """Raise FlowNotFound for a flow that is neither in the folder nor in the store; None is no flow."""
    if flow_id is None or flow_id in engine.catalog.entries:
        return
    before = await engine.store.flows_with_history()
    if flow_id not in before and not await engine.store.flow_versions(flow_id):
        raise engine.catalog.missing(flow_id, before)


class CredentialMissing(CredentialError):
    """There is no such credential."""


def problem_response(error: HooklineError) -> Response:
    """The response to an error."""
    status = _status(error)
    title = (type(error).__doc__ or "").partition("\n")[0]
    listed: Sequence[Problem] = getattr(error, "problems", ())
    code = getattr(error, "error_code", error.code)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "5"} if status == 503 else {}
    body = problem_body(status, code, title, error.message, listed)
    return Response(body, status, headers, content_type=MEDIA_TYPE.decode())


def _status(error: HooklineError) -> int:
    if isinstance(error, RequestRejected):
        return error.status
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status
    return 500


_STATUS: Final[Mapping[type[HooklineError], int]] = {
    ExecutionNotFound: 404,
    FlowNotFound: 404,
    StateKeyNotFound: 404,
    FlowInvalid: 422,
    IllegalStateChange: 409,
    UnpublishedChanges: 409,
    PollStartsAnew: 409,
    NotReplayable: 409,
    RedactedUnreadable: 409,
    ProvenanceUnknown: 404,
    NoOptions: 404,
    OptionsNotReady: 422,
    CannotSign: 422,
    CredentialMissing: 404,
    AuthorizationUnknown: 404,
    CredentialError: 422,
    # The service behind failed, and not this server.
    StepError: 502,
    StoreError: 503,
}
