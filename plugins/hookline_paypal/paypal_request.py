"""The action `paypal.request`, for everything else in PayPal's API."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hookline.api import Context, JsonValue, Reach, StepError
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.rest import ask, request_id_of

_PATH: Final = re.compile(r"/v[0-9]+(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})

#: Gives what the client takes for "no JSON", and is no default that a schema would have to show.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


def _repeats(settings: Mapping[str, Any]) -> bool | None:
    # PayPal does a POST once by its id, but not everywhere.
    return True if settings.get("method", "GET") in _REPEATABLE else None


@paypal.action(idempotent=_repeats)
async def request(
    ctx: Context[PayPalApi],
    path: Annotated[
        str,
        Reach("service_path"),
        Field(description="The path, such as `/v1/invoicing/invoices`; the host is the credential's."),
    ],
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], Field(description="The HTTP method.")] = "GET",
    query: Annotated[
        dict[str, JsonValue] | None,
        Field(description="The query parameters; a list repeats its key, null leaves it out."),
    ] = None,
    json: Annotated[Any, Field(description="The JSON body; null is a body, too.")] = _NOT_GIVEN,
) -> JsonValue:
    """Send any request to PayPal's API.

    It is sent with a `PayPal-Request-Id` that is the same at each attempt. The result is PayPal's response, or null
    if that has no content.
    """
    if _PATH.fullmatch(path) is None or any(piece in (".", "..") for piece in path.split("/")):
        raise StepError("`path` has to be a path of PayPal's API, such as /v1/invoicing/invoices", code="paypal.path")
    request_id = None if method == "GET" else request_id_of(ctx)
    return await ask(ctx, method, path, json=json, query=query, request_id=request_id, whole=method == "POST")
