"""Responses of the admin API: JSON, and problems with their status."""

import math
from collections.abc import Sequence
from typing import Any, Final

from quart import Response

from hookline.kernel.errors import CredentialError, HooklineError, Problem
from hookline.kernel.json import encode
from hookline.service.problem_documents import MEDIA_TYPE, problem_body

_RETRY_AFTER: Final = 5.0
"""Seconds after which a client should try again, if the error doesn't say it."""


def json_response(value: Any, status: int = 200) -> Response:
    """A record as a JSON response."""
    return Response(encode(value), status, content_type="application/json")


class CredentialMissing(CredentialError):
    """There is no such credential."""

    status = 404


def problem_response(error: HooklineError) -> Response:
    """The response to an error."""
    status = type(error).status
    title = (type(error).__doc__ or "").partition("\n")[0]
    listed: Sequence[Problem] = getattr(error, "problems", ())
    code = getattr(error, "error_code", error.code)
    wait = getattr(error, "retry_after", None)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503 or wait is not None:
        headers["Retry-After"] = str(math.ceil(wait or _RETRY_AFTER))
    body = problem_body(status, code, title, error.message, listed)
    return Response(body, status, headers, content_type=MEDIA_TYPE.decode())
