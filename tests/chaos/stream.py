"""A look at the stream in front of the database. It needs the extra `nats`."""

from collections.abc import Sequence

import nats

from tests.own_nats import OwnNats


async def is_stream_empty(servers: Sequence[OwnNats]) -> bool:
    """Return true if each message of the stream is in the database; false if no server can tell."""
    try:
        client = await nats.connect([server.url for server in servers], connect_timeout=2, max_reconnect_attempts=1)
    except (OSError, nats.errors.Error):
        return False
    try:
        info = await client.jetstream().stream_info("hookline")
    except nats.errors.Error:
        return False
    finally:
        await client.close()
    return info.state.messages == 0
