"""The actions for payments: payment intents, refunds and charges."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, Reach, StepError
from hookline_stripe.client import Stripe, segment
from hookline_stripe.connector import StripeApi, stripe
from hookline_stripe.shared_settings import Amount, Currency, Limit, Metadata, More, Since, given, made_since

IntentId = Annotated[str, Field(min_length=1, description="The payment intent's id, `pi_…`.")]
Method = Annotated[str | None, Field(description="The id of a payment method, `pm_…`.")]
Customer = Annotated[str | None, Field(description="The customer's id, `cus_…`.")]


@stripe.action(idempotent=True)
async def create_payment_intent(
    ctx: Context[StripeApi],
    amount: Amount,
    currency: Currency,
    customer: Customer = None,
    payment_method: Method = None,
    payment_method_types: Annotated[
        list[str] | None, Field(description="The kinds of payment, such as `card`; by default those of the dashboard.")
    ] = None,
    confirm: Annotated[bool | None, Field(description="Confirm it at once.")] = None,
    off_session: Annotated[
        bool | None, Field(description="True if the customer isn't present to authenticate the payment.")
    ] = None,
    capture_method: Annotated[
        Literal["automatic", "automatic_async", "manual"] | None,
        Field(description="The time at which the money is taken; `manual`: by `capture_payment_intent`."),
    ] = None,
    description: Annotated[str | None, Field(description="A text that the customer may see.")] = None,
    receipt_email: Annotated[str | None, Field(description="The e-mail address to which a receipt is sent.")] = None,
    return_url: Annotated[
        str | None, Reach("passed_url"), Field(description="The URL to which the customer returns.")
    ] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Create a payment intent; the result has `id`, `status` and `client_secret`. A declined card is an error."""
    fields = given(
        more,
        amount=amount,
        currency=currency.lower(),
        customer=customer,
        payment_method=payment_method,
        payment_method_types=payment_method_types,
        confirm=confirm,
        off_session=off_session,
        capture_method=capture_method,
        description=description,
        receipt_email=receipt_email,
        return_url=return_url,
        metadata=metadata,
    )
    return await Stripe(ctx).post("/v1/payment_intents", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def get_payment_intent(ctx: Context[StripeApi], payment_intent: IntentId) -> dict[str, Any]:
    """Read a payment intent."""
    return await Stripe(ctx).get(f"/v1/payment_intents/{segment(payment_intent)}")


@stripe.action(idempotent=True)
async def confirm_payment_intent(
    ctx: Context[StripeApi],
    payment_intent: IntentId,
    payment_method: Method = None,
    return_url: Annotated[
        str | None, Reach("passed_url"), Field(description="The URL to which the customer returns.")
    ] = None,
    more: More = None,
) -> dict[str, Any]:
    """Confirm a payment intent: the payment is attempted. A declined card is an error."""
    fields = given(more, payment_method=payment_method, return_url=return_url)
    return await _do(ctx, payment_intent, "confirm", fields)


@stripe.action(idempotent=True)
async def capture_payment_intent(
    ctx: Context[StripeApi],
    payment_intent: IntentId,
    amount: Annotated[
        int | None,
        Field(ge=1, description="The amount in the currency's smallest unit; by default all that was authorized."),
    ] = None,
    more: More = None,
) -> dict[str, Any]:
    """Take the money of a payment intent that was confirmed with `capture_method` `manual`."""
    return await _do(ctx, payment_intent, "capture", given(more, amount_to_capture=amount))


@stripe.action(idempotent=True)
async def cancel_payment_intent(
    ctx: Context[StripeApi],
    payment_intent: IntentId,
    reason: Annotated[
        Literal["duplicate", "fraudulent", "requested_by_customer", "abandoned"] | None,
        Field(description="The reason."),
    ] = None,
) -> dict[str, Any]:
    """Cancel a payment intent that hasn't succeeded."""
    return await _do(ctx, payment_intent, "cancel", given(cancellation_reason=reason))


async def _do(ctx: Context[StripeApi], payment_intent: str, what: str, fields: dict[str, Any]) -> dict[str, Any]:
    return await Stripe(ctx).post(f"/v1/payment_intents/{segment(payment_intent)}/{what}", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def create_refund(
    ctx: Context[StripeApi],
    payment_intent: Annotated[str | None, Field(description="The payment intent's id; or give a `charge`.")] = None,
    charge: Annotated[str | None, Field(description="The charge's id, `ch_…`.")] = None,
    amount: Annotated[
        int | None, Field(ge=1, description="The amount in the currency's smallest unit; by default all that is left.")
    ] = None,
    reason: Annotated[
        Literal["duplicate", "fraudulent", "requested_by_customer"] | None, Field(description="The reason.")
    ] = None,
    metadata: Metadata = None,
    more: More = None,
) -> dict[str, Any]:
    """Refund a payment; the result is the refund."""
    if (payment_intent is None) == (charge is None):
        raise StepError("give either the `payment_intent` or the `charge` to refund", code="stripe.refund")
    fields = given(more, payment_intent=payment_intent, charge=charge, amount=amount, reason=reason, metadata=metadata)
    return await Stripe(ctx).post("/v1/refunds", fields, ctx.idempotency_key)


@stripe.action(idempotent=True)
async def list_payment_intents(
    ctx: Context[StripeApi], customer: Customer = None, since: Since = None, limit: Limit = None
) -> AsyncIterator[dict[str, Any]]:
    """List payment intents, the newest first, as a stream of any length."""
    query = given(customer=customer, created=made_since(since))
    async for intent in Stripe(ctx).items("/v1/payment_intents", query, limit):
        yield intent


@stripe.action(idempotent=True)
async def list_charges(
    ctx: Context[StripeApi], customer: Customer = None, since: Since = None, limit: Limit = None
) -> AsyncIterator[dict[str, Any]]:
    """List charges, the newest first, as a stream of any length."""
    query = given(customer=customer, created=made_since(since))
    async for charge in Stripe(ctx).items("/v1/charges", query, limit):
        yield charge


@stripe.action(idempotent=True)
async def list_refunds(
    ctx: Context[StripeApi],
    payment_intent: Annotated[str | None, Field(description="Only refunds of this payment intent.")] = None,
    since: Since = None,
    limit: Limit = None,
) -> AsyncIterator[dict[str, Any]]:
    """List refunds, the newest first, as a stream of any length."""
    query = given(payment_intent=payment_intent, created=made_since(since))
    async for refund in Stripe(ctx).items("/v1/refunds", query, limit):
        yield refund
