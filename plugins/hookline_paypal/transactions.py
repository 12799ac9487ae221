"""The action `paypal.list_transactions`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field

from hookline.api import Context, JsonObject, JsonValue, StepError
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.failures import unreadable
from hookline_paypal.rest import ask_object

_PATH: Final = "/v1/reporting/transactions"
_LONGEST: Final = timedelta(days=31)
_SECOND: Final = timedelta(seconds=1)
_PAGE: Final = 500

_Part = Literal[
    "transaction_info",
    "payer_info",
    "shipping_info",
    "auction_info",
    "cart_info",
    "incentive_info",
    "store_info",
    "all",
]


@paypal.action(idempotent=True)
async def list_transactions(
    ctx: Context[PayPalApi],
    start: Annotated[
        AwareDatetime, Field(description="The earliest time: RFC 3339, with its time zone; at most three years ago.")
    ],
    end: Annotated[AwareDatetime, Field(description="The latest time; this second is included.")],
    fields: Annotated[
        list[_Part] | None,
        Field(min_length=1, description="The parts of the transactions to return; by default `transaction_info`."),
    ] = None,
    transaction_id: Annotated[
        str | None, Field(min_length=17, max_length=19, description="Only transactions with this id.")
    ] = None,
    transaction_type: Annotated[
        str | None,
        Field(pattern=r"^T[0-9]{4}$", description="Only transactions with this event code, such as `T0006`."),
    ] = None,
    transaction_status: Annotated[
        Literal["D", "P", "S", "V"] | None,
        Field(
            description="Only transactions that are denied (`D`), pending (`P`), successful (`S`) or reversed (`V`)."
        ),
    ] = None,
    transaction_currency: Annotated[
        str | None, Field(pattern=r"^[A-Z]{3}$", description="Only transactions in this currency.")
    ] = None,
    balance_affecting_records_only: Annotated[
        Literal["Y", "N"], Field(description="`Y`: only transactions that have changed the balance; `N`: all.")
    ] = "Y",
) -> AsyncIterator[JsonValue]:
    """List the account's transactions, the oldest month first.

    The app needs the feature Transaction Search. The time span may have any length: each request to PayPal covers at
    most 31 days, and less if PayPal has more than 10,000 transactions. Those of the last three hours may be missing.
    The result is a stream, which `foreach` reads.
    """
    filters: JsonObject = {
        "fields": ",".join(fields or ["transaction_info"]),
        "transaction_id": transaction_id,
        "transaction_type": transaction_type,
        "transaction_status": transaction_status,
        "transaction_currency": transaction_currency,
        "balance_affecting_records_only": balance_affecting_records_only,
    }
    first = start.astimezone(UTC).replace(microsecond=0)
    last = end.astimezone(UTC).replace(microsecond=0)
    if last < first:
        raise StepError("`end` is before `start`", code="paypal.settings")
    # What is left, the earliest at the end.
    left = list(_spans(first, last, _LONGEST))[::-1]
    while left:
        begins, ends = left.pop()
        page, pages = 1, 1
        while page <= pages:
            try:
                answer = await _page(ctx, filters, begins, ends, page)
            except StepError as error:
                if error.error_code != "paypal.resultset_too_large" or page > 1 or ends - begins < _SECOND:
                    raise
                # Its halves: the second waits for the first.
                left += list(_spans(begins, ends, (ends - begins + _SECOND) / 2))[::-1]
                break
            details, pages = answer["transaction_details"], answer.get("total_pages")
            if not isinstance(details, list) or not isinstance(pages, int):
                raise unreadable(f"GET {_PATH}", "has no pages")
            for one in details:
                yield one
            page += 1


async def _page(ctx: Context[PayPalApi], filters: JsonObject, begins: datetime, ends: datetime, page: int) -> Any:
    query: JsonObject = {
        **filters,
        "start_date": _text(begins),
        "end_date": _text(ends),
        "page_size": _PAGE,
        "page": page,
    }
    return await ask_object(ctx, "GET", _PATH, query=query, gives={"transaction_details": list})


def _spans(first: datetime, last: datetime, longest: timedelta) -> list[tuple[datetime, datetime]]:
    """Whole seconds from one time to another, in parts: a transaction has one second, and is in one part."""
    length = max(timedelta(seconds=longest // _SECOND), _SECOND)
    spans = []
    while first <= last:
        spans.append((first, min(first + length - _SECOND, last)))
        first += length
    return spans


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
