"""The check of a credential by a connection to its broker."""

from uuid import uuid4

from hookline.api import VerifyContext
from hookline_mqtt.connector import MqttLogin, mqtt


@mqtt.verify
async def who(ctx: VerifyContext[MqttLogin]) -> str | None:
    """Connect, and disconnect."""
    from hookline_mqtt.connection import Connection

    connection = Connection(ctx.resources, ctx.credential, f"{ctx.credential.client_id}-{uuid4().hex[:12]}")
    try:
        await connection.connect()
    finally:
        await connection.close()
    return ctx.credential.username
