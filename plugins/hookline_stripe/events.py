"""The actions for events, as the API lists them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.shared_settings import Limit, Since, given, made_since


@stripe.action(idempotent=True)
async def get_event(
    ctx: Context[StripeApi], event: Annotated[str, Field(min_length=1, description="The event's id, `evt_…`.")]
) -> dict[str, Any]:
    """Read an event from Stripe: the content of a webhook, from a source that can't be forged."""
    return await Stripe(ctx).get(f"/v1/events/{segment(event)}")


@stripe.action(idempotent=True)
async def list_events(
    ctx: Context[StripeApi],
    types: Annotated[
        list[str] | None,
        Field(max_length=20, description="The types of the events, such as `invoice.paid`; by default all."),
    ] = None,
    since: Since = None,
    undelivered: Annotated[
        bool, Field(description="Only events that have not been delivered to every webhook.")
    ] = False,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List events of the last 30 days, the newest first, as a stream of any length."""
    query = given(types=types, created=made_since(since), delivery_success=False if undelivered else None)
    async for event in Stripe(ctx).items("/v1/events", query, limit):
        yield event
