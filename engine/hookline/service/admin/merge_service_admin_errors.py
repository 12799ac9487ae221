"""How errors read in the admin API."""

from collections.abc import Mapping, Sequence
from typing import Final

from quart import Response

from hookline.kernel.errors import (
    AuthorizationUnknown,
    CannotOffer,
    CannotSign,
    CredentialError,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    HooklineError,
    IllegalStateChange,
    NoOptions,
    NotExplained,
    NothingKept,
    NotReplayable,
    Problem,
    RedactedUnreadable,
    RequestRefused,
    StepError,
    StoreError,
    UnpublishedChanges,
)
from hookline.service.problems import MEDIA_TYPE, problem_body


class CredentialMissing(CredentialError):
    """There is no such credential."""


def problem(error: HooklineError) -> Response:
    """The answer to what was refused, or failed."""
    status = _status(error)
    title = (type(error).__doc__ or "").partition("\n")[0]
    listed: Sequence[Problem] = getattr(error, "problems", ())
    code = getattr(error, "error_code", error.code)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "5"} if status == 503 else {}
    body = problem_body(status, code, title, error.message, listed)
    return Response(body, status, headers, content_type=MEDIA_TYPE.decode())


def _status(error: HooklineError) -> int:
    if isinstance(error, RequestRefused):
        return error.status
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status
    return 500


_STATUS: Final[Mapping[type[HooklineError], int]] = {
    ExecutionNotFound: 404,
    FlowNotFound: 404,
    NothingKept: 404,
    FlowInvalid: 422,
    IllegalStateChange: 409,
    UnpublishedChanges: 409,
    NotReplayable: 409,
    RedactedUnreadable: 409,
    NotExplained: 404,
    NoOptions: 404,
    CannotOffer: 422,
    CannotSign: 422,
    CredentialMissing: 404,
    AuthorizationUnknown: 404,
    CredentialError: 422,
    # It is a service that was asked on the way, and not we, that failed.
    StepError: 502,
    StoreError: 503,
}
