"""The verification of webhooks: shared keys, MACs and signatures, and the providers that use them."""

from collections.abc import Sequence
from typing import Any

from hookline.api import Scheme, hookimpl
from hookline_signatures.generic.body_mac import Hmac
from hookline_signatures.generic.header_only import ApiKey, Basic, Bearer
from hookline_signatures.generic.jwt_token import Jwt
from hookline_signatures.generic.standard_webhooks import StandardWebhooks, Svix
from hookline_signatures.public_key.discord import Discord
from hookline_signatures.public_key.paypal import PayPal
from hookline_signatures.public_key.sendgrid import SendGrid
from hookline_signatures.public_key.sns import Sns
from hookline_signatures.shared_secret.body_mac.bitbucket import Bitbucket
from hookline_signatures.shared_secret.body_mac.dropbox import Dropbox
from hookline_signatures.shared_secret.body_mac.github import GitHub
from hookline_signatures.shared_secret.body_mac.intercom import Intercom
from hookline_signatures.shared_secret.body_mac.meta import Meta
from hookline_signatures.shared_secret.body_mac.shopify import Shopify
from hookline_signatures.shared_secret.body_mac.xero import Xero
from hookline_signatures.shared_secret.gitlab import GitLab
from hookline_signatures.shared_secret.linear import Linear
from hookline_signatures.shared_secret.mailgun import Mailgun
from hookline_signatures.shared_secret.microsoft_graph import MicrosoftGraph
from hookline_signatures.shared_secret.slack import Slack
from hookline_signatures.shared_secret.square import Square
from hookline_signatures.shared_secret.stripe import Stripe
from hookline_signatures.shared_secret.twilio import Twilio
from hookline_signatures.shared_secret.zendesk import Zendesk
from hookline_signatures.shared_secret.zoom import Zoom


@hookimpl
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """Return new schemes for each engine, since some of them cache fetched keys."""
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
