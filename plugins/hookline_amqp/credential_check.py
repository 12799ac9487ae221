"""The check of a credential by a login to its broker."""

from hookline.api import VerifyContext
from hookline_amqp.connector import AmqpLogin, amqp


@amqp.verify
async def who(ctx: VerifyContext[AmqpLogin]) -> str | None:
    """Log in, and disconnect."""
    from hookline_amqp.connection import connected

    async with connected(ctx.resources, ctx.credential, "hookline: verify"):
        pass
    return None
