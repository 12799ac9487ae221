"""Invoices and what stands on them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.settings import Currency, Limit, Metadata, More, Since, given, made_since

CustomerId = Annotated[str, Field(min_length=1, description="The customer's id, `cus_…`.")]
InvoiceId = Annotated[str, Field(min_length=1, description="The invoice's id, `in_…`.")]


@stripe.action(idempotent=True)
async def create_invoice_item(
    ctx: Context[StripeApi],
    customer: CustomerId,
    amount: Annotated[int, Field(description="In the currency's smallest unit; below zero takes off.")],
    currency: Currency,
    description: Annotated[str | None, Field(description="What it is for.")] = None,
    invoice: Annotated[str | None, Field(description="The draft that it goes to; the next one by default.")] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Put a line on an invoice of a customer's; gives the line."""
    fields = given(
        more,
        customer=customer,
        amount=amount,
        currency=currency.lower(),
        description=description,
        invoice=invoice,
        metadata=metadata,
    )
    return await Stripe(ctx).post("/v1/invoiceitems", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def create_invoice(
    ctx: Context[StripeApi],
    customer: CustomerId,
    collection_method: Annotated[
        Literal["charge_automatically", "send_invoice"] | None, Field(description="How it is paid.")
    ] = None,
    days_until_due: Annotated[
        int | None, Field(ge=0, description="In how many days it has to be paid, where it is sent.")
    ] = None,
    auto_advance: Annotated[
        bool | None, Field(description="Whether Stripe finalizes it by itself after about an hour.")
    ] = None,
    pending_items: Annotated[
        Literal["include", "exclude"] | None, Field(description="Whether the customer's open lines stand on it.")
    ] = None,
    description: Annotated[str | None, Field(description="A text on the invoice.")] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Make a draft of an invoice; gives it."""
    fields = given(
        more,
        customer=customer,
        collection_method=collection_method,
        days_until_due=days_until_due,
        auto_advance=auto_advance,
        pending_invoice_items_behavior=pending_items,
        description=description,
        metadata=metadata,
    )
    return await Stripe(ctx).post("/v1/invoices", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def get_invoice(ctx: Context[StripeApi], invoice: InvoiceId) -> dict[str, Any]:
    """Read an invoice."""
    return await Stripe(ctx).get(f"/v1/invoices/{segment(invoice)}")


@stripe.action(idempotent=True)
async def finalize_invoice(
    ctx: Context[StripeApi],
    invoice: InvoiceId,
    auto_advance: Annotated[
        bool | None, Field(description="Whether Stripe goes on with collecting it by itself.")
    ] = None,
) -> dict[str, Any]:
    """Finalize a draft: it gets its number, and changes no more. Gives the invoice."""
    path = f"/v1/invoices/{segment(invoice)}/finalize"
    return await Stripe(ctx).post(path, given(auto_advance=auto_advance), ctx.idempotency_key)


@stripe.action(idempotent=True)
async def list_invoices(
    ctx: Context[StripeApi],
    customer: Annotated[str | None, Field(description="Those of this customer.")] = None,
    status: Annotated[
        Literal["draft", "open", "paid", "uncollectible", "void"] | None, Field(description="In which state they are.")
    ] = None,
    since: Since = None,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List invoices, the newest first, one by one, however many there are."""
    query = given(customer=customer, status=status, created=made_since(since))
    async for invoice in Stripe(ctx).items("/v1/invoices", query, limit):
        yield invoice
