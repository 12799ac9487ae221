"""A bound on the time in which a client has to read a response: otherwise it could keep its connection for good."""

import asyncio
from typing import Final

PATIENCE: Final = 30.0
"""Seconds in which a client may read nothing."""
MIN_RATE: Final = 10_000.0
"""Bytes a second that it has to read."""


def abort_unless_read(transport: asyncio.WriteTransport, size: int, patience: float = PATIENCE) -> asyncio.TimerHandle:
    """Abort a connection unless the timer is cancelled before its client could have read so many bytes."""
    return asyncio.get_running_loop().call_later(patience + size / MIN_RATE, transport.abort)
