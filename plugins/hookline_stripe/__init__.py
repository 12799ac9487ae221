"""Stripe: customers, payments, invoices and events, and a trigger that makes its own webhook endpoint."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_stripe import credential_check, customers, events, events_trigger, invoices, payments, stripe_request  # noqa: F401 - they add to the connector
from hookline_stripe.connector import stripe


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The Stripe connector."""
    return [stripe]
