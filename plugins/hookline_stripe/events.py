"""The actions for events, as the API lists them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.settings import Limit, Since, given, made_since


@stripe.action(idempotent=True)
async def get_event(
    ctx: Context[StripeApi], event: Annotated[str, Field(min_length=1, description="The event's id, `evt_…`.")]
) -> dict[str, Any]:
    """Read an event as Stripe has it: what a webhook said, from a source that can't be forged."""
    return await Stripe(ctx).get(f"/v1/events/{segment(event)}")


@stripe.action(idempotent=True)
async def list_events(
    ctx: Context[StripeApi],
    types: Annotated[
        list[str] | None, Field(max_length=20, description="Their types, such as `invoice.paid`; all by default.")
    ] = None,
    since: Since = None,
    undelivered: Annotated[bool, Field(description="Only those that some webhook hasn't taken.")] = False,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List events of the last 30 days, the newest first, one by one, however many there are."""
    query = given(types=types, created=made_since(since), delivery_success=False if undelivered else None)
    async for event in Stripe(ctx).items("/v1/events", query, limit):
        yield event
