"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Works with Stripe: customers, payments, refunds, invoices, events, and any other request of the API. Lists are streams,
whatever their length. Requests that change something carry the step's idempotency key, so that a step that is tried
again, or goes on after a crash, takes effect once.

The credential is a secret key, or a restricted one that may do what the flow does; `stripe.events` needs to write
*Webhook Endpoints*. `hookline credentials verify` shows its owner. Amounts are in the currency's smallest unit.

`stripe.events` creates the webhook endpoint itself. One that is created by hand is verified with the scheme `stripe`,
whose credential is of the type `stripe`.
"""

ERRORS: Final[Mapping[str, str]] = {
    "stripe.<code>": "Stripe rejected the request, with a code of its own, such as `stripe.card_declined` or "
    "`stripe.resource_missing`. The error also has its message, the decline code and the parameter.",
    "http.<status>": "Stripe rejected the request without a code. A 401 means that the key is wrong or was rolled; "
    "a 429 is tried again.",
    "stripe.answer": "Stripe's response doesn't match its documentation.",
    "stripe.body": "`request` has both `fields` and `json`.",
    "stripe.id": "An id, or a part of a path, is empty, `.` or `..`.",
    "stripe.refund": "`create_refund` has neither a payment intent nor a charge, or both.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "thank-for-payments",
    "trigger": {
        "use": "stripe.events",
        "with": {"events": ["payment_intent.succeeded"]},
        "credential": "stripe-prod",
    },
    "steps": [
        {"id": "known", "use": "filter", "with": {"keep": "{{ body.data.object.customer is not none }}"}},
        {
            "id": "customer",
            "use": "stripe.get_customer",
            "with": {"customer": "$.body.data.object.customer"},
            "credential": "stripe-prod",
        },
        {
            "id": "mark",
            "use": "stripe.update_customer",
            "with": {
                "customer": "$.body.id",
                "metadata": {"last_payment": "$.trigger.body.data.object.id"},
            },
            "credential": "stripe-prod",
        },
    ],
}
