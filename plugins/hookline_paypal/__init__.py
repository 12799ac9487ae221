"""`paypal.*`: orders, captures, refunds, payouts and transactions, and the trigger `paypal.events`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_paypal import (  # noqa: F401 - they add to the connector
    credential_check,
    events_trigger,
    orders,
    payment_captures,
    payouts,
    paypal_request,
    transactions,
)
from hookline_paypal.connector import paypal


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The PayPal connector."""
    return [paypal]
