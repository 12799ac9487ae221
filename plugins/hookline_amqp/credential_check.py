"""Asking a broker whether it takes a credential."""

from hookline.api import VerifyContext
from hookline_amqp.connector import AmqpLogin, amqp


@amqp.verify
async def who(ctx: VerifyContext[AmqpLogin]) -> str | None:
    """Log in, and leave again."""
    from hookline_amqp.connection import connected

    async with connected(ctx.credential, "hookline: verify"):
        pass
    return None
