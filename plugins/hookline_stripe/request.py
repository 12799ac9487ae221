"""The action `stripe.request`, for whatever else the API can do."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reply, StepError
from hookline_stripe.client import Stripe
from hookline_stripe.connector import StripeApi, stripe


@stripe.action(idempotent=True)
async def request(
    ctx: Context[StripeApi],
    path: Annotated[str, Field(pattern=r"^/v[0-9]+/[^?#\s]*$", description="Such as `/v1/subscriptions`.")],
    method: Annotated[str, Field(pattern=r"^(GET|POST|DELETE|get|post|delete)$", description="The method.")] = "GET",
    fields: Annotated[
        dict[str, JsonValue] | None, Field(description="The form of a POST; nested as in JSON, null unsets.")
    ] = None,
    json: Annotated[Any, Field(description="In its place: the JSON body that `/v2/` takes.")] = None,
    query: Annotated[
        dict[str, JsonValue] | None, Field(description="Added to the URL's query; nested as in JSON.")
    ] = None,
) -> Reply:
    """Send any request, with the credential, the API's version and the step's idempotency key.

    The body is the response's, and `status` stands beside it.
    """
    if any(part in (".", "..") for part in path.split("/")):
        raise StepError(f"{path!r} leads elsewhere: write the path without dots", code="stripe.id")
    if fields is not None and json is not None:
        raise StepError("a request has one body, and this one has `fields` and `json`", code="stripe.body")
    key = None if method.upper() == "GET" else ctx.idempotency_key
    response = await Stripe(ctx).send(method.upper(), path, fields=fields, json=json, query=query, key=key)
    return Reply(response.json() if response.content else None, response.headers, {"status": response.status})
