"""The actions for customers."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.shared_settings import Limit, Metadata, More, Since, given, made_since

CustomerId = Annotated[str, Field(min_length=1, description="The customer's id, `cus_…`.")]
Email = Annotated[str | None, Field(description="The e-mail address.")]
Name = Annotated[str | None, Field(description="The name.")]
Phone = Annotated[str | None, Field(description="The telephone number.")]
Description = Annotated[str | None, Field(description="A text for your own use.")]
Address = Annotated[
    dict[str, JsonValue] | None,
    Field(description="The address: `line1`, `line2`, `city`, `postal_code`, `state` and `country`."),
]


@stripe.action(idempotent=True)
async def create_customer(
    ctx: Context[StripeApi],
    email: Email = None,
    name: Name = None,
    phone: Phone = None,
    description: Description = None,
    address: Address = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Create a customer; the result is the customer, with its `id`."""
    fields = given(
        more,
        email=email,
        name=name,
        phone=phone,
        description=description,
        address=address,
        metadata=metadata,
    )
    return await Stripe(ctx).post("/v1/customers", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def get_customer(ctx: Context[StripeApi], customer: CustomerId) -> dict[str, Any]:
    """Read a customer. A deleted customer has `deleted`, and little more."""
    return await Stripe(ctx).get(f"/v1/customers/{segment(customer)}")


@stripe.action(idempotent=True)
async def update_customer(
    ctx: Context[StripeApi],
    customer: CustomerId,
    email: Email = None,
    name: Name = None,
    phone: Phone = None,
    description: Description = None,
    address: Address = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Change a customer; settings that aren't given leave it as it is. The result is the customer."""
    fields = given(
        more,
        email=email,
        name=name,
        phone=phone,
        description=description,
        address=address,
        metadata=metadata,
    )
    return await Stripe(ctx).post(f"/v1/customers/{segment(customer)}", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def list_customers(
    ctx: Context[StripeApi],
    email: Annotated[
        str | None, Field(description="Only customers with this e-mail address; upper and lower case matter.")
    ] = None,
    since: Since = None,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List customers, the newest first, as a stream of any length."""
    query = given(email=email, created=made_since(since))
    async for customer in Stripe(ctx).items("/v1/customers", query, limit):
        yield customer
