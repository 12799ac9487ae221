"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Creates orders and captures them, refunds captures, pays out, and lists transactions, by PayPal's REST API. PayPal's
events start flows by the trigger `paypal.events`, which creates its webhook itself.

At PayPal: the Developer Dashboard, Apps & Credentials, the app, which has a client id and a secret; the sandbox
has its own.

    hookline credentials set paypal-app --type paypal-api client_id=… client_secret=-
    hookline credentials set paypal-sandbox --type paypal-api client_id=… client_secret=- \\
        base_url=https://api-m.sandbox.paypal.com

A request that takes effect is sent with a `PayPal-Request-Id`, which is made from the step's idempotency key and is the
same at each attempt: PayPal acts once, for as long as it remembers the id (6 hours for orders, 30 days for payouts, 45
days for refunds).
"""

ERRORS: Final[Mapping[str, str]] = {
    "paypal.<issue>": "PayPal rejected it: the `issue` of its first detail, or else its `name`, in lower-case letters: "
    "`paypal.order_not_approved`, `paypal.resource_not_found`, `paypal.not_authorized` and so on. The message has "
    "PayPal's details, and the `debug_id` that its support asks for. `paypal.rate_limit_reached`, "
    "`paypal.previous_request_in_progress` and errors of PayPal's servers are tried again.",
    "paypal.answer": "The response doesn't match PayPal's documentation; the request may have taken effect.",
    "paypal.path": "The path of a request isn't one of PayPal's API, such as `/v1/invoicing/invoices`.",
    "paypal.settings": "Settings don't go together, such as an amount without its currency.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "cancelled-orders",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "steps": [
        {
            "id": "refund",
            "use": "paypal.refund_capture",
            "credential": "paypal-app",
            "with": {"capture_id": "$.body.capture_id", "note": "Order {{ body.number }} was cancelled"},
        },
        {"id": "done", "use": "filter", "with": {"keep": "{{ body.status == 'COMPLETED' }}"}},
        {"id": "note", "use": "log", "with": {"message": "{{ steps.refund.body.id }} is refunded"}},
    ],
}
