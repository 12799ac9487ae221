"""The actions for invoices and their lines."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.shared_settings import Currency, Limit, Metadata, More, Since, given, made_since

CustomerId = Annotated[str, Field(min_length=1, description="The customer's id, `cus_…`.")]
InvoiceId = Annotated[str, Field(min_length=1, description="The invoice's id, `in_…`.")]


@stripe.action(idempotent=True)
async def create_invoice_item(
    ctx: Context[StripeApi],
    customer: CustomerId,
    amount: Annotated[
        int, Field(description="The amount in the currency's smallest unit; a negative one is a reduction.")
    ],
    currency: Currency,
    description: Annotated[str | None, Field(description="The text of the line.")] = None,
    invoice: Annotated[str | None, Field(description="The draft that gets the line; by default the next one.")] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Add a line to a customer's invoice; the result is the line."""
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
        Literal["charge_automatically", "send_invoice"] | None,
        Field(description="Charge the customer automatically, or send the invoice."),
    ] = None,
    days_until_due: Annotated[
        int | None, Field(ge=0, description="The number of days in which it has to be paid, for `send_invoice`.")
    ] = None,
    auto_advance: Annotated[
        bool | None, Field(description="Let Stripe finalize it by itself after about an hour.")
    ] = None,
    pending_items: Annotated[
        Literal["include", "exclude"] | None, Field(description="Include or exclude the customer's open lines.")
    ] = None,
    description: Annotated[str | None, Field(description="A text on the invoice.")] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Create a draft of an invoice; the result is the draft."""
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
    auto_advance: Annotated[bool | None, Field(description="Let Stripe collect the payment by itself.")] = None,
) -> dict[str, Any]:
    """Finalize a draft: it gets its number, and can't be changed any more. The result is the invoice."""
    path = f"/v1/invoices/{segment(invoice)}/finalize"
    return await Stripe(ctx).post(path, given(auto_advance=auto_advance), ctx.idempotency_key)


@stripe.action(idempotent=True)
async def list_invoices(
    ctx: Context[StripeApi],
    customer: Annotated[str | None, Field(description="Only invoices of this customer.")] = None,
    status: Annotated[
        Literal["draft", "open", "paid", "uncollectible", "void"] | None,
        Field(description="Only invoices in this state."),
    ] = None,
    since: Since = None,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List invoices, the newest first, as a stream of any length."""
    query = given(customer=customer, status=status, created=made_since(since))
    async for invoice in Stripe(ctx).items("/v1/invoices", query, limit):
        yield invoice
