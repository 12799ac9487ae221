"""How webhooks are verified: shared keys, MACs and signatures, and the providers that use them."""

from collections.abc import Sequence
from typing import Any

from hookline.api import Scheme, hookimpl
from hookline_signatures.body_mac import GitHub, Hmac
from hookline_signatures.dropbox import Dropbox
from hookline_signatures.gitlab import GitLab
from hookline_signatures.header_only import ApiKey, Basic
from hookline_signatures.hub_signature import Bitbucket, Intercom
from hookline_signatures.linear import Linear
from hookline_signatures.meta import Meta
from hookline_signatures.microsoft_graph import MicrosoftGraph
from hookline_signatures.paypal import PayPal
from hookline_signatures.standard_webhooks import StandardWebhooks, Svix
from hookline_signatures.xero import Xero
from hookline_signatures.zoom import Zoom


@hookimpl
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """New ones for each engine, since some keep what they fetched."""
    return [
        ApiKey(),
        Basic(),
        Bitbucket(),
        Dropbox(),
        GitHub(),
        GitLab(),
        Hmac(),
        Intercom(),
        Linear(),
        Meta(),
        MicrosoftGraph(),
        PayPal(),
        StandardWebhooks(),
        Svix(),
        Xero(),
        Zoom(),
    ]
