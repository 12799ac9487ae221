"""Asking a broker whether it takes a credential."""

from uuid import uuid4

from hookline.api import VerifyContext
from hookline_mqtt.connector import MqttLogin, mqtt


@mqtt.verify
async def who(ctx: VerifyContext[MqttLogin]) -> str | None:
    """Connect, and leave again."""
    from hookline_mqtt.connection import Connection

    connection = Connection(ctx.credential, f"{ctx.credential.client_id}-{uuid4().hex[:12]}")
    try:
        await connection.connect()
    finally:
        await connection.close()
    return ctx.credential.username
