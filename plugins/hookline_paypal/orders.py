"""The actions for orders: create and read them, and capture them once the payer has approved them."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from hookline.api import Context, JsonObject, JsonValue, Reach, Reply, StepError
from hookline_paypal.amounts import Amount, Currency, money
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.rest import ask_object, part, request_id_of

OrderId: TypeAlias = Annotated[str, Field(min_length=1, max_length=36, description="The order's id.")]

#: Links to where the payer approves an order, by when it was made.
_APPROVES = ("payer-action", "approve")


@paypal.action(idempotent=True)
async def create_order(
    ctx: Context[PayPalApi],
    amount: Annotated[
        Amount | None,
        Field(description="The amount to pay, such as `10.99`, with as many decimals as the currency has."),
    ] = None,
    currency: Currency = None,
    description: Annotated[
        str | None, Field(max_length=127, description="The purpose of the payment; the payer sees it.")
    ] = None,
    invoice_id: Annotated[
        str | None, Field(max_length=127, description="The invoice's number; PayPal accepts each number once.")
    ] = None,
    custom_id: Annotated[
        str | None, Field(max_length=255, description="Your own reference for the payment; the payer doesn't see it.")
    ] = None,
    purchase_units: Annotated[
        list[JsonObject] | None,
        Field(
            min_length=1,
            max_length=10,
            description="In place of the settings above: the purchase units, in the form of PayPal's API.",
        ),
    ] = None,
    intent: Annotated[
        Literal["CAPTURE", "AUTHORIZE"],
        Field(description="`CAPTURE` takes the money at once, `AUTHORIZE` only reserves it."),
    ] = "CAPTURE",
    return_url: Annotated[
        str | None,
        Reach("passed_url"),
        Field(description="The URL to which the payer returns after approving the order."),
    ] = None,
    cancel_url: Annotated[
        str | None,
        Reach("passed_url"),
        Field(description="The URL to which the payer returns without approving the order."),
    ] = None,
    payment_source: Annotated[
        JsonObject | None,
        Field(description="In place of these two URLs: the payment source, in the form of PayPal's API."),
    ] = None,
) -> Reply:
    """Create an order.

    The result's body is PayPal's order: `id`, `status`, `links`. Beside it, `approve_url` is the page on which the
    payer approves the order; null if there is none.
    """
    given = money(amount, currency)
    if (given is None) == (purchase_units is None):
        raise StepError("give either `amount` and `currency`, or `purchase_units`", code="paypal.settings")
    if purchase_units is None:
        unit: dict[str, Any] = {
            "amount": given,
            "description": description,
            "invoice_id": invoice_id,
            "custom_id": custom_id,
        }
        purchase_units = [_without_nulls(unit)]
    elif description is not None or invoice_id is not None or custom_id is not None:
        raise StepError(
            "give `description`, `invoice_id` and `custom_id` within `purchase_units`", code="paypal.settings"
        )
    if return_url is not None or cancel_url is not None:
        if payment_source is not None:
            raise StepError("give `return_url` and `cancel_url` within `payment_source`", code="paypal.settings")
        urls: Any = _without_nulls({"return_url": return_url, "cancel_url": cancel_url})
        payment_source = {"paypal": {"experience_context": urls}}
    order: dict[str, Any] = {"intent": intent, "purchase_units": purchase_units, "payment_source": payment_source}
    return _order(
        await ask_object(
            ctx,
            "POST",
            "/v2/checkout/orders",
            json=_without_nulls(order),
            request_id=request_id_of(ctx),
            whole=True,
            gives={"id": str, "status": str},
        )
    )


@paypal.action(idempotent=True)
async def get_order(ctx: Context[PayPalApi], order_id: OrderId) -> Reply:
    """Read an order.

    The result is like that of `paypal.create_order`; `status` is `APPROVED` once the payer has approved it.
    """
    path = f"/v2/checkout/orders/{part(order_id)}"
    return _order(await ask_object(ctx, "GET", path, gives={"id": str, "status": str}))


@paypal.action(idempotent=True)
async def capture_order(ctx: Context[PayPalApi], order_id: OrderId) -> Reply:
    """Take the money of an order that the payer has approved.

    The result's body is PayPal's order. Beside it, `captures` lists the captures with `id`, `status` and `amount`;
    `paypal.refund_capture` needs the id. If the order isn't approved, the error is `paypal.order_not_approved`.
    """
    path = f"/v2/checkout/orders/{part(order_id)}/capture"
    order = await ask_object(
        ctx, "POST", path, json={}, request_id=request_id_of(ctx), whole=True, gives={"id": str, "status": str}
    )
    return Reply(order, extra={"captures": _captures(order)})


def _order(order: JsonObject) -> Reply:
    links: Any = order.get("links")
    found = {
        link.get("rel"): link.get("href")
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict)
    }
    url = next((found[rel] for rel in _APPROVES if isinstance(found.get(rel), str)), None)
    return Reply(order, extra={"approve_url": url})


def _captures(order: Any) -> list[JsonValue]:
    units = order.get("purchase_units")
    payments = [unit.get("payments") for unit in units if isinstance(unit, dict)] if isinstance(units, list) else []
    listed = [payment.get("captures") for payment in payments if isinstance(payment, dict)]
    return [capture for captures in listed if isinstance(captures, list) for capture in captures]


def _without_nulls(value: dict[str, Any]) -> JsonObject:
    return {name: item for name, item in value.items() if item is not None}
