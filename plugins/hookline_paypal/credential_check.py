"""The check of a credential for PayPal: does PayPal accept it?"""

from typing import Any
from urllib.parse import urlsplit

from hookline.api import VerifyContext
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.rest import ask_object


@paypal.verify
async def verify(ctx: VerifyContext[PayPalApi]) -> str | None:
    """Ask for the app's webhooks, which every app may list."""
    answer: Any = await ask_object(ctx, "GET", "/v1/notifications/webhooks", gives={"webhooks": list})
    host = urlsplit(ctx.credential.base_url).hostname
    return f"the app {ctx.credential.client_id[:8]}… at {host}, with {len(answer['webhooks'])} webhooks"
