"""Requests to Stripe's API, and the conversion of its errors."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from pydantic import SecretStr

from hookline.api import AuthExpired, HttpClient, JsonValue, RateLimited, Response, StepError, Unavailable, cursor_items
from hookline_stripe.form import form

PAGE: Final = 100
"""The largest page that lists have."""


class _Credential(Protocol):
    api_key: SecretStr
    base_url: str
    api_version: str
    account: str | None


class _Context(Protocol):
    """Any context that has a Stripe credential."""

    @property
    def credential(self) -> Any: ...
    @property
    def http(self) -> HttpClient: ...


class Stripe:
    """Stripe's API as one credential sees it."""

    def __init__(self, ctx: _Context) -> None:
        credential: _Credential = ctx.credential
        self._http = ctx.http
        self._base_url = credential.base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {credential.api_key.get_secret_value()}",
            "Stripe-Version": credential.api_version,
        }
        if credential.account is not None:
            self._headers["Stripe-Account"] = credential.account

    async def send(
        self,
        method: str,
        path: str,
        *,
        fields: Mapping[str, Any] | None = None,
        json: JsonValue | None = None,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        missing: bool = False,
    ) -> Response:
        """Send a request; `key` is its idempotency key. With `missing`, a 404 is no error. Raises StepError."""
        body: dict[str, Any] = {} if json is None else {"json": json}
        if fields is not None:
            body = {"form": form(fields)}
        response = await self._http.request(
            method,
            self._base_url + path,
            headers={**self._headers, **({} if key is None else {"Idempotency-Key": key})},
            params=None if query is None else form(query),
            raise_for_status=False,
            **body,
        )
        if response.status >= 400 and not (missing and response.status == 404):
            raise failed(response)
        return response

    async def post(self, path: str, fields: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
        """Send a form, and return the object in the response. Raises StepError."""
        return as_object(await self.send("POST", path, fields=fields, key=key))

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the object under a path. Raises StepError."""
        return as_object(await self.send("GET", path, query=query))

    def items(self, path: str, query: Mapping[str, Any], most: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of a list, page by page, `most` items at most. Raises StepError."""
        size = PAGE if most is None else min(PAGE, most)
        found = cursor_items(
            self._http,
            self._base_url + path,
            items="data",
            cursor=_after,
            parameter="starting_after",
            params={"limit": size, **form(query)},
            headers=self._headers,
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


def _page(response: Response) -> Any:
    if response.status >= 400:
        raise failed(response)
    return response.json()


def _after(page: Any) -> Any:
    """The id of a page's last item; None if it is the last page."""
    data = page.get("data") if isinstance(page, dict) else None
    if not data or not page.get("has_more"):
        return None
    return data[-1].get("id") if isinstance(data[-1], dict) else None


def as_object(response: Response) -> dict[str, Any]:
    """The object in a response. Raises StepError if there is none."""
    body = response.json()
    if not isinstance(body, dict):
        raise StepError("Stripe's response is not an object", code="stripe.answer")
    return body


def failed(response: Response) -> StepError:
    """The error for a response with a status of 400 or above, with Stripe's explanation."""
    status, error = response.status, _error(response)
    said = str(error.get("message") or "nothing more").strip()[:1000]
    about = [
        f"{label} {error[key]}"
        for key, label in (("type", "type"), ("code", "code"), ("decline_code", "decline code"), ("param", "param"))
        if isinstance(error.get(key), str)
    ]
    request_id = response.headers.get("request-id")
    about += [f"request {request_id}"] if request_id else []
    message = f"Stripe answered {status}: {said}" + (f" ({', '.join(about)})" if about else "")
    code = error.get("code") if isinstance(error.get("code"), str) else None
    name = f"stripe.{code}" if code and code.replace("_", "").isalnum() and code.islower() else f"http.{status}"
    wait = _seconds(response.headers.get("retry-after"))
    if status == 401:
        return AuthExpired(f"{message}; the key is wrong, or was rolled", code="http.401")
    if status == 429:
        return RateLimited(message, code=name, retryable=True, retry_after=wait)
    # It knows best: an answer that is kept under the idempotency key is the same the next time.
    should = {"true": True, "false": False}.get(response.headers.get("stripe-should-retry", ""))
    retryable = (status in (408, 409) or status >= 500) if should is None else should
    if status == 503:
        return Unavailable(message, code=name, retryable=retryable, retry_after=wait)
    return StepError(message, code=name, retryable=retryable, retry_after=wait)


def _error(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except StepError:
        return {"message": response.text[:200]}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isascii() and value.isdigit() else None


def segment(text: str) -> str:
    """An id as part of a path. Raises StepError for an id that is empty, `.` or `..`."""
    if text in ("", ".", ".."):
        raise StepError(f"{text!r} is not a valid id at Stripe", code="stripe.id")
    return quote(text, safe="")
