"""Requests to GitHub's REST API, and the conversion of its errors."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from pydantic import SecretStr

from hookline.api import AuthExpired, HttpClient, JsonValue, RateLimited, RateLimits, Response, StepError, linked_items

VERSION: Final = "2022-11-28"
PAGE: Final = 100
"""The largest page that lists have."""

_LIMITS: Final = RateLimits(statuses=(403, 429))
#: Seconds to wait at least where GitHub has had too many requests at once, and doesn't say how long.
_SECONDARY: Final = 60.0
_JSON: Final = "application/vnd.github+json"


class _Credential(Protocol):
    token: SecretStr
    base_url: str


class _Context(Protocol):
    """Any context that has a GitHub credential."""

    @property
    def credential(self) -> Any: ...
    @property
    def http(self) -> HttpClient: ...


class GitHub:
    """GitHub's API as one credential sees it."""

    def __init__(self, ctx: _Context) -> None:
        credential: _Credential = ctx.credential
        self._http = ctx.http
        self.base_url = credential.base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {credential.token.get_secret_value()}",
            "X-GitHub-Api-Version": VERSION,
            "User-Agent": "hookline",
        }

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: JsonValue | None = None,
        params: Mapping[str, Any] | None = None,
        accept: str = _JSON,
        missing: bool = False,
    ) -> Response:
        """Send a request; `path` begins with a slash. With `missing`, a 404 is no error. Raises StepError."""
        # Null is no body here: there is nothing that GitHub would take it for.
        body: dict[str, Any] = {} if json is None else {"json": json}
        response = await self._http.request(
            method,
            self.base_url + path,
            headers={**self._headers, "Accept": accept},
            params=params,
            raise_for_status=False,
            **body,
        )
        if response.status >= 400 and not (missing and response.status == 404):
            raise failed(response)
        return response

    async def json(
        self, method: str, path: str, *, json: JsonValue | None = None, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a request, and return the object in the response. Raises StepError."""
        return as_object(await self.send(method, path, json=json, params=params))

    def items(
        self, path: str, params: Mapping[str, Any] | None = None, most: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects of a list, page by page, `most` objects at most. Raises StepError."""
        size = PAGE if most is None else min(PAGE, most)
        found = linked_items(
            self._http,
            self.base_url + path,
            headers={**self._headers, "Accept": _JSON},
            params={"per_page": size, **(params or {})},
            raise_for_status=False,
            read=_page,
        )
        return found if most is None else _first(found, most)


async def _first(items: AsyncIterator[dict[str, Any]], most: int) -> AsyncIterator[dict[str, Any]]:
    left = most
    async for item in items:
        yield item
        left -= 1
        if left <= 0:
            return


def _page(response: Response) -> list[dict[str, Any]]:
    if response.status >= 400:
        raise failed(response)
    return as_objects(response)


def as_objects(response: Response) -> list[dict[str, Any]]:
    """The list of objects in a response. Raises StepError if there is none."""
    body = response.json()
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise StepError("GitHub's response is not a list of objects", code="github.answer")
    return body


def as_object(response: Response) -> dict[str, Any]:
    """The object in a response. Raises StepError if there is none."""
    body = response.json()
    if not isinstance(body, dict):
        raise StepError("GitHub's response is not an object", code="github.answer")
    return body


def failed(response: Response) -> StepError:
    """The error for a response with a status of 400 or above, with GitHub's explanation."""
    status = response.status
    message = f"GitHub answered {status}: {_said(response)}"
    limited = _LIMITS.error(status, response.headers, message)
    if limited is None and status == 403 and "rate limit" in message.lower():
        # Of too many at once it may say nothing but that.
        limited = RateLimited(message, code="http.403", retryable=True)
    if limited is not None:
        if limited.retry_after is None:
            limited.retry_after = _SECONDARY
        return limited
    if status == 401:
        return AuthExpired(f"{message}; the token is wrong, expired or revoked", code="http.401")
    if status == 404:
        # It hides what the token may not see.
        message += "; it doesn't exist, or the token may not see it"
    return StepError(message, code=f"http.{status}", retryable=status in (408, 425) or status >= 500)


def _said(response: Response) -> str:
    """GitHub's `message`, and each of its `errors`."""
    try:
        body = response.json()
    except StepError:
        return response.text.strip()[:200] or "nothing more"
    if not isinstance(body, dict):
        return "nothing more"
    errors = body.get("errors")
    parts = [_one(error) for error in errors[:10]] if isinstance(errors, list) else []
    message = str(body.get("message") or "nothing more")[:500]
    return message + (f" ({'; '.join(parts)})" if parts else "")


def _one(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)[:200]
    where = ".".join(str(error[key]) for key in ("resource", "field") if error.get(key))
    what = error.get("message") or error.get("code") or "it is invalid"
    return f"{where}: {what}"[:300] if where else str(what)[:300]


def segment(text: str) -> str:
    """A part of a path, quoted. Raises StepError for a part that is empty, `.` or `..`."""
    if text in ("", ".", ".."):
        raise StepError(f"{text!r} is not a valid name at GitHub", code="github.name")
    return quote(text, safe="")


def path_of(text: str) -> str:
    """A file's path, each part of it quoted. Raises StepError as `segment` does."""
    return "/".join(segment(part) for part in text.strip("/").split("/"))
