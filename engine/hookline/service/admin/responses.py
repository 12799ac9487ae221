"""Responses of the admin API: JSON, and problems with their status."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quart import Response

from hookline.kernel.errors import (
    AuthorizationUnknown,
    CannotSign,
    CaptureNotFound,
    ComponentNotFound,
    CredentialError,
    DeploymentConflict,
    DeploymentNotFound,
    DraftConflict,
    DraftNotFound,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    FolderBusy,
    FolderReadOnly,
    HooklineError,
    IllegalStateChange,
    NoConnectors,
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
    TokenNotFound,
    UnpublishedChanges,
    ValueNotFound,
    WorkLimit,
)
from hookline.kernel.json import encode
from hookline.service.problem_documents import MEDIA_TYPE, problem_body

_RETRY_AFTER: Final = 5.0
"""Seconds after which a client should try again, if the error doesn't say it."""


def json_response(value: Any, status: int = 200) -> Response:
    """A record as a JSON response."""
    return Response(encode(value), status, content_type="application/json")


class CredentialMissing(CredentialError):
    """There is no such credential."""


def problem_response(error: HooklineError) -> Response:
    """The response to an error."""
    status = status_of(type(error))
    title = (type(error).__doc__ or "").partition("\n")[0]
    listed: Sequence[Problem] = getattr(error, "problems", ())
    code = getattr(error, "error_code", error.code)
    wait = getattr(error, "retry_after", None)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503 or wait is not None:
        headers["Retry-After"] = str(math.ceil(wait or _RETRY_AFTER))
    body = problem_body(status, code, title, error.message, listed)
    return Response(body, status, headers, content_type=MEDIA_TYPE.decode())


def status_of(kind: type[HooklineError]) -> int:
    """The status of the response to an error of some kind."""
    if issubclass(kind, RequestRejected):
        return kind.status
    return next((status for one, status in _STATUS.items() if issubclass(kind, one)), 503)


_STATUS: Final[Mapping[type[HooklineError], int]] = {
    ExecutionNotFound: 404,
    FlowNotFound: 404,
    StateKeyNotFound: 404,
    FlowInvalid: 422,
    WorkLimit: 422,
    DeploymentConflict: 412,
    DraftConflict: 412,
    DraftNotFound: 404,
    CaptureNotFound: 404,
    TokenNotFound: 404,
    DeploymentNotFound: 404,
    FolderReadOnly: 409,
    FolderBusy: 409,
    IllegalStateChange: 409,
    UnpublishedChanges: 409,
    PollStartsAnew: 409,
    NoConnectors: 409,
    NotReplayable: 409,
    RedactedUnreadable: 409,
    ProvenanceUnknown: 404,
    ValueNotFound: 404,
    ComponentNotFound: 404,
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
