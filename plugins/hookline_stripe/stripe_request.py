"""The action `stripe.request`, for everything else in the API."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reach, Reply, StepError
from hookline_stripe.client import Stripe
from hookline_stripe.connector import StripeApi, stripe


@stripe.action(idempotent=True)
async def request(
    ctx: Context[StripeApi],
    path: Annotated[
        str,
        Reach("service_path"),
        Field(pattern=r"^/v[0-9]+/[^?#\s]*$", description="The path, such as `/v1/subscriptions`."),
    ],
    method: Annotated[
        str, Field(pattern=r"^(GET|POST|DELETE|get|post|delete)$", description="The HTTP method.")
    ] = "GET",
    fields: Annotated[
        dict[str, JsonValue] | None, Field(description="The form of a POST, nested as in JSON; null unsets a value.")
    ] = None,
    json: Annotated[Any, Field(description="In its place: the JSON body of a request to `/v2/`.")] = None,
    query: Annotated[dict[str, JsonValue] | None, Field(description="The query parameters, nested as in JSON.")] = None,
) -> Reply:
    """Send any request, with the credential, the API's version and the step's idempotency key.

    The result has the response's body and `status`.
    """
    if any(part in (".", "..") for part in path.split("/")):
        raise StepError(f"{path!r} has a part `.` or `..`: write the path without it", code="stripe.id")
    if fields is not None and json is not None:
        raise StepError("give either `fields` or `json`, not both", code="stripe.body")
    key = None if method.upper() == "GET" else ctx.idempotency_key
    response = await Stripe(ctx).send(method.upper(), path, fields=fields, json=json, query=query, key=key)
    return Reply(response.json() if response.content else None, response.headers, {"status": response.status})
