"""The check of a credential for Stripe: does Stripe accept it, and whose is it?"""

from hookline.api import StepError, VerifyContext
from hookline_stripe.client import Stripe
from hookline_stripe.connector import StripeApi, stripe


@stripe.verify
async def which(ctx: VerifyContext[StripeApi]) -> str:
    """Ask Stripe for the account of the key, or else for its mode."""
    api = Stripe(ctx)
    try:
        account = await api.get("/v1/account")
    except StepError as error:
        # A restricted key may not ask that.
        if not error.message.startswith(("Stripe answered 403", "Stripe answered 404")):
            raise
        balance = await api.get("/v1/balance")
        return f"a key of {'the live mode' if balance.get('livemode') else 'a sandbox'}"
    profile = account.get("business_profile")
    name = profile.get("name") if isinstance(profile, dict) else None
    return f"{account.get('id')}" + (f" ({name})" if name else "")
