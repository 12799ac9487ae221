"""Requests to PayPal's REST API."""

from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from hookline.api import Context, JsonObject, JsonValue, Response, StepError, SubscriptionContext, VerifyContext
from hookline_paypal.connector import PayPalApi
from hookline_paypal.failures import check, unreadable

Asking: TypeAlias = Context[PayPalApi] | SubscriptionContext[PayPalApi] | VerifyContext[PayPalApi]


async def ask(
    ctx: Asking,
    method: str,
    path: str,
    *,
    json: Any = ...,
    query: Mapping[str, JsonValue] | None = None,
    request_id: str | None = None,
    whole: bool = False,
) -> JsonValue:
    """Send a request to PayPal, and return its response; None if that has no content.

    `request_id`: the id by which PayPal recognizes a repeated request, so that it acts once. `whole`: ask for the whole
    object that was created, not only its id. An expired token is replaced, once. Raises StepError: `paypal.<issue>`
    with PayPal's word, or AuthExpired, RateLimited or Unavailable if the word means that.
    """
    what = f"{method} {path}"
    headers = {"Accept": "application/json"}
    if request_id is not None:
        headers["PayPal-Request-Id"] = request_id
    if whole:
        headers["Prefer"] = "return=representation"

    async def send(token: str) -> Response:
        response = await ctx.http.request(
            method,
            f"{ctx.credential.base_url}{path}",
            headers={**headers, "Authorization": f"Bearer {token}"},
            params=query,
            json=json,
            raise_for_status=False,
        )
        check(what, response)
        return response

    response = await ctx.authorized(send)
    if not response.content:
        return None
    try:
        answer: JsonValue = response.json()
    except StepError:
        raise unreadable(what, f"is not JSON; its status is {response.status}") from None
    return answer


async def ask_object(ctx: Asking, method: str, path: str, *, gives: Mapping[str, type], **said: Any) -> JsonObject:
    """Send a request as `ask` does, and return an object; `gives`: the members that it has to have, and their types."""
    answer = await ask(ctx, method, path, **said)
    if not isinstance(answer, dict):
        raise unreadable(f"{method} {path}", "is not an object")
    for name, kind in gives.items():
        if not isinstance(answer.get(name), kind):
            raise unreadable(f"{method} {path}", f"has no {name}")
    return answer


def request_id_of(ctx: Context[PayPalApi]) -> str:
    """Return the step's `PayPal-Request-Id`, equal at each attempt; some services allow only 38 characters."""
    return str(uuid5(NAMESPACE_URL, f"hookline:{ctx.idempotency_key}"))


def part(text: str) -> str:
    """A text as a part of a path."""
    return quote(text, safe="")
