"""The trigger `stripe.events`: a webhook endpoint that is created and removed by itself."""

from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import StepError, Subscription, SubscriptionContext
from hookline_stripe.client import Stripe, as_object, segment
from hookline_stripe.connector import StripeApi, stripe

_ENDPOINTS: Final = "/v1/webhook_endpoints"
_FLOW: Final = "hookline_flow"
"""The key of the metadata that marks an endpoint as one of Hookline's."""


@stripe.webhook(scheme="stripe", gives_secret=True)
async def events(
    ctx: SubscriptionContext[StripeApi],
    events: Annotated[
        list[str],
        Field(min_length=1, description="The types of events, such as `invoice.paid`; `*` means nearly all types."),
    ],
    connect: Annotated[
        bool, Field(description="Receive the events of connected accounts, not those of your own.")
    ] = False,
    api_version: Annotated[
        str | None, Field(description="The API version of the events; by default the account's.")
    ] = None,
) -> Subscription:
    """Starts an execution for each event of a Stripe account.

    The webhook endpoint is created when the flow starts, and removed when the flow is stopped or deleted. The body is
    the event; its id is the dedupe key.
    """
    api = Stripe(ctx)
    wanted: dict[str, Any] = {"url": ctx.url, "enabled_events": sorted(set(events))}
    fixed = {"connect": connect, "api_version": api_version}
    known = ctx.known
    if known is not None and {name: known.get(name) for name in fixed} == fixed:
        # It is changed where it is, and keeps its secret.
        path = f"{_ENDPOINTS}/{segment(known['endpoint'])}"
        changed = await api.send("POST", path, fields={**wanted, "disabled": False}, missing=True)
        if changed.status != 404:
            return Subscription(known)
    # Only its making tells the secret: one that an earlier call has made, and nobody knows of, is of no use.
    left = [one async for one in api.items(_ENDPOINTS, {}) if _is_ours(one, ctx)]
    fields = {
        **wanted,
        "description": f"Made by Hookline for the flow {ctx.flow_id}",
        "metadata": {_FLOW: ctx.flow_id},
        **({"connect": True} if connect else {}),
        **({"api_version": api_version} if api_version is not None else {}),
    }
    made = await api.post(_ENDPOINTS, fields)
    endpoint, secret = made.get("id"), made.get("secret")
    if not isinstance(endpoint, str) or not isinstance(secret, str):
        raise StepError("Stripe's response has a webhook endpoint without an id or a secret", code="stripe.answer")
    for one in left:
        await _delete(api, one["id"])
    return Subscription({"endpoint": endpoint, **fixed}, secret=secret)


@events.unsubscribe
async def remove(ctx: SubscriptionContext[StripeApi]) -> None:
    """Remove the webhook endpoint."""
    await _delete(Stripe(ctx), ctx.known["endpoint"])


@events.renew(every="1d")
async def look(ctx: SubscriptionContext[StripeApi]) -> Subscription | None:
    """Check that the endpoint still exists and sends to this flow, and enable it if Stripe has disabled it."""
    api, path = Stripe(ctx), f"{_ENDPOINTS}/{segment(ctx.known['endpoint'])}"
    found = await api.send("GET", path, missing=True)
    endpoint = as_object(found)
    if found.status == 404 or endpoint.get("url") != ctx.url:
        return None
    if endpoint.get("status") == "disabled":
        ctx.log.warning("Stripe has disabled a webhook endpoint; it is enabled again", endpoint=ctx.known["endpoint"])
        await api.post(path, {"disabled": False})
    return Subscription(ctx.known)


def _is_ours(endpoint: Any, ctx: SubscriptionContext[StripeApi]) -> bool:
    """Return true if the endpoint was made for this flow and isn't the one in use."""
    if not isinstance(endpoint, dict) or not isinstance(endpoint.get("id"), str):
        return False
    metadata = endpoint.get("metadata")
    flow = metadata.get(_FLOW) if isinstance(metadata, dict) else None
    known = None if ctx.known is None else ctx.known["endpoint"]
    return flow == ctx.flow_id and endpoint.get("url") == ctx.url and endpoint["id"] != known


async def _delete(api: Stripe, endpoint: str) -> None:
    await api.send("DELETE", f"{_ENDPOINTS}/{segment(endpoint)}", missing=True)
