"""Problem documents (RFC 9457), the format of every error over HTTP.

`type` is the relative reference `/problems/<code>`, since Hookline has no domain of its own; a running server explains
each code at that path. The codes are those of `hookline.kernel.errors`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hookline.kernel.errors import HooklineError, Problem, RequestRejected
from hookline.kernel.json import encode
from hookline.service.hook_request_and_response import HookResponse

MEDIA_TYPE: Final = b"application/problem+json"
MAX_PROBLEMS: Final = 1000
"""The number of problems that a response lists at most."""


def _title(kind: type[HooklineError]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _entry(problem: Problem) -> dict[str, str]:
    entry = {"detail": problem.message, "pointer": problem.pointer, "code": problem.code}
    if problem.remedy:
        entry["remedy"] = problem.remedy
    return entry


def problem_body(
    status: int,
    code: str,
    title: str,
    detail: str | None = None,
    problems: Sequence[Problem] = (),
    *,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """Encode a problem document; `extra` are further members."""
    document: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
        **(extra or {}),
    }
    if problems:
        document["problems"] = [_entry(problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            document["detail"] += f" The first {MAX_PROBLEMS} of {len(problems)} problems are listed."
    return encode(document)


def rejection_response(error: RequestRejected) -> HookResponse:
    """The response to a rejected request."""
    headers = [(b"content-type", MEDIA_TYPE), (b"cache-control", b"no-store")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]
    body = problem_body(error.status, error.code, _title(type(error)), error.message, error.problems)
    return HookResponse(error.status, tuple(headers), body)


def error_kinds(root: type[HooklineError] = HooklineError) -> dict[str, type[HooklineError]]:
    """All errors by their codes."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= error_kinds(kind)
    return found


def describe_code(code: str) -> str | None:
    """Return the text of `/problems/<code>`, or None if there is no such code."""
    kind = error_kinds().get(code)
    if kind is None:
        return None
    status = f"HTTP status {kind.status}. " if issubclass(kind, RequestRejected) else ""
    return f"{code}: {status}{_title(kind)}"
