"""How webhooks are verified: shared keys, MACs and signatures, and the providers that use them."""

from collections.abc import Sequence
from typing import Any

from hookline.api import Scheme, hookimpl
from hookline_signatures.body_mac import GitHub, Hmac
from hookline_signatures.discord import Discord
from hookline_signatures.dropbox import Dropbox
from hookline_signatures.gitlab import GitLab
from hookline_signatures.header_only import ApiKey, Basic, Bearer
from hookline_signatures.hub_signature import Bitbucket, Intercom
from hookline_signatures.jwt_token import Jwt
from hookline_signatures.linear import Linear
from hookline_signatures.mailgun import Mailgun
from hookline_signatures.meta import Meta
from hookline_signatures.microsoft_graph import MicrosoftGraph
from hookline_signatures.paypal import PayPal
from hookline_signatures.sendgrid import SendGrid
from hookline_signatures.shopify import Shopify
from hookline_signatures.slack import Slack
from hookline_signatures.sns import Sns
from hookline_signatures.square import Square
from hookline_signatures.standard_webhooks import StandardWebhooks, Svix
from hookline_signatures.stripe import Stripe
from hookline_signatures.twilio import Twilio
from hookline_signatures.xero import Xero
from hookline_signatures.zendesk import Zendesk
from hookline_signatures.zoom import Zoom


@hookimpl
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """New ones for each engine, since some keep what they fetched."""
    return [
        ApiKey(),
        Basic(),
        Bearer(),
        Bitbucket(),
        Discord(),
        Dropbox(),
        GitHub(),
        GitLab(),
        Hmac(),
        Intercom(),
        Jwt(),
        Linear(),
        Mailgun(),
        Meta(),
        MicrosoftGraph(),
        PayPal(),
        SendGrid(),
        Shopify(),
        Slack(),
        Sns(),
        Square(),
        StandardWebhooks(),
        Stripe(),
        Svix(),
        Twilio(),
        Xero(),
        Zendesk(),
        Zoom(),
    ]
