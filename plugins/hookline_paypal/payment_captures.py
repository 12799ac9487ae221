"""The actions for captures: read and refund them."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field

from hookline.api import Context, JsonObject
from hookline_paypal.amounts import Amount, Currency, money
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.rest import ask_object, part, request_id_of

CaptureId: TypeAlias = Annotated[str, Field(min_length=1, max_length=36, description="The capture's id.")]


@paypal.action(idempotent=True)
async def get_capture(ctx: Context[PayPalApi], capture_id: CaptureId) -> JsonObject:
    """Read a capture: its `id`, `status`, `amount`, and PayPal's fee."""
    path = f"/v2/payments/captures/{part(capture_id)}"
    return await ask_object(ctx, "GET", path, gives={"id": str, "status": str})


@paypal.action(idempotent=True)
async def refund_capture(
    ctx: Context[PayPalApi],
    capture_id: CaptureId,
    amount: Annotated[Amount | None, Field(description="The amount to refund; by default all that is left.")] = None,
    currency: Currency = None,
    note: Annotated[str | None, Field(max_length=255, description="The reason; the payer reads it.")] = None,
    invoice_id: Annotated[str | None, Field(max_length=127, description="The invoice's number.")] = None,
    custom_id: Annotated[str | None, Field(max_length=255, description="Your own reference for the refund.")] = None,
) -> JsonObject:
    """Refund a capture, or a part of it.

    The result is PayPal's refund: `id`, and `status`, which is `COMPLETED`, or `PENDING` while it isn't done yet.
    """
    refund: dict[str, Any] = {
        "amount": money(amount, currency),
        "note_to_payer": note,
        "invoice_id": invoice_id,
        "custom_id": custom_id,
    }
    return await ask_object(
        ctx,
        "POST",
        f"/v2/payments/captures/{part(capture_id)}/refund",
        json={name: value for name, value in refund.items() if value is not None},
        request_id=request_id_of(ctx),
        whole=True,
        gives={"id": str, "status": str},
    )
