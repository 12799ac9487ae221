"""The actions for payouts: money that is sent to many receivers."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from hookline.api import Context, JsonObject, JsonValue
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.failures import Rejected, unreadable
from hookline_paypal.rest import ask_object, part, request_id_of

BatchId: TypeAlias = Annotated[str, Field(min_length=1, max_length=30, description="The payout's `payout_batch_id`.")]

_PATH: Final = "/v1/payments/payouts"
_FIRST: Final = re.compile(r"^https?://[^/]+/v1/payments/payouts/([A-Za-z0-9_-]{1,30})(\?.*)?$")
_PAGE: Final = 1000


@paypal.action(idempotent=True)
async def create_payout(
    ctx: Context[PayPalApi],
    items: Annotated[
        list[JsonObject],
        Field(
            min_length=1,
            max_length=15_000,
            description='The payments: `{"receiver": "ada@example.com", "amount": {"value": "9.90", "currency": '
            '"EUR"}, "note": "…", "sender_item_id": "…"}`.',
        ),
    ],
    recipient_type: Annotated[
        Literal["EMAIL", "PHONE", "PAYPAL_ID", "USER_HANDLE"] | None,
        Field(description="The kind of `receiver`, for items that don't state it themselves."),
    ] = None,
    subject: Annotated[
        str | None, Field(max_length=255, description="The subject of the mail that PayPal sends to the receivers.")
    ] = None,
    message: Annotated[str | None, Field(max_length=1000, description="The text of that mail.")] = None,
    sender_batch_id: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description="Your own reference for the payout: PayPal accepts each once in 30 days. By default it is "
            "made from the step's idempotency key.",
        ),
    ] = None,
) -> JsonObject:
    """Send money to one or more receivers.

    The result is PayPal's `batch_header`: `payout_batch_id` and `batch_status`, which is `PENDING` at first;
    `paypal.get_payout` gives the later status. However often a step is tried, PayPal pays once.
    """
    own = request_id_of(ctx)
    header: JsonObject = {
        "sender_batch_id": sender_batch_id or own,
        "recipient_type": recipient_type,
        "email_subject": subject,
        "email_message": message,
    }
    payout: Any = {
        "sender_batch_header": {name: value for name, value in header.items() if value is not None},
        "items": items,
    }
    try:
        answer = await ask_object(ctx, "POST", _PATH, json=payout, request_id=own, gives={"batch_header": dict})
    except Rejected as rejected:
        first = _first(rejected.answer) if sender_batch_id is None else None
        if first is None:
            raise
        # The id is nobody else's: an attempt before this one has made it, and its answer was lost.
        answer = await ask_object(ctx, "GET", f"{_PATH}/{part(first)}", gives={"batch_header": dict})
    return _header(answer)


@paypal.action(idempotent=True)
async def get_payout(
    ctx: Context[PayPalApi],
    payout_batch_id: BatchId,
) -> JsonObject:
    """Read a payout: its `batch_header`, with `batch_status`, `amount` and `fees`."""
    path = f"{_PATH}/{part(payout_batch_id)}"
    return _header(await ask_object(ctx, "GET", path, query={"page_size": 1}, gives={"batch_header": dict}))


@paypal.action(idempotent=True)
async def list_payout_items(ctx: Context[PayPalApi], payout_batch_id: BatchId) -> AsyncIterator[JsonValue]:
    """List the items of a payout with their results: `transaction_status`, and `errors` of an item that failed.

    The result is a stream, which `foreach` reads.
    """
    path, page = f"{_PATH}/{part(payout_batch_id)}", 1
    while True:
        query: JsonObject = {"page_size": _PAGE, "page": page}
        answer: Any = await ask_object(ctx, "GET", path, query=query, gives={"batch_header": dict})
        items = answer.get("items", [])
        if not isinstance(items, list):
            raise unreadable(f"GET {path}", "has no list items")
        for item in items:
            yield item
        if len(items) < _PAGE:
            return
        page += 1


def _header(answer: Any) -> JsonObject:
    header: JsonObject = answer["batch_header"]
    if not isinstance(header.get("payout_batch_id"), str):
        raise unreadable("a payout", "has no payout_batch_id")
    return header


def _first(answer: Any) -> str | None:
    """The id of the payout that has the `sender_batch_id` already, to which the rejection links."""
    details = answer.get("details")
    fields = [one.get("field") for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if not any(isinstance(field, str) and "sender_batch_id" in field.lower() for field in fields):
        return None
    links = answer.get("links")
    for link in links if isinstance(links, list) else []:
        href = link.get("href") if isinstance(link, dict) else None
        found = _FIRST.match(href) if isinstance(href, str) else None
        if found is not None:
            return found[1]
    return None
