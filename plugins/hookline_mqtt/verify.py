"""Asking a broker whether it takes a credential."""

from uuid import uuid4

from hookline.api import VerifyContext
from hookline_mqtt.connector import MqttLogin, mqtt


@mqtt.verify
async def who(ctx: VerifyContext[MqttLogin]) -> str | None:
    """Connect, and leave again."""
    from hookline_mqtt.session import Session

    session = Session(ctx.credential, f"{ctx.credential.client_id}-{uuid4().hex[:12]}")
    try:
        await session.connect()
    finally:
        await session.close()
    return ctx.credential.username
