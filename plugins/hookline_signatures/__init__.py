"""How webhooks are verified: shared keys, MACs and signatures, and the providers that use them."""

from collections.abc import Sequence
from typing import Any

from hookline.api import Scheme, hookimpl
from hookline_signatures.body_mac import GitHub, Hmac
from hookline_signatures.header_only import ApiKey, Basic
from hookline_signatures.paypal import PayPal
from hookline_signatures.standard_webhooks import StandardWebhooks, Svix


@hookimpl
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """New ones for each engine, since some keep what they fetched."""
    return [Basic(), ApiKey(), Hmac(), GitHub(), StandardWebhooks(), Svix(), PayPal()]
