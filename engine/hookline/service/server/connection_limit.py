"""The 503 of each connection above the limit."""

import asyncio
from typing import Final

from hookline.kernel.errors import RequestRejected
from hookline.service.server.raw_responses import raw_response

MAX_CONNECTIONS: Final = 1000
_LINGER: Final = 1.0
"""Seconds until such a connection is closed: if it were closed at once, the reset of further data could overtake the
response."""
LINGERING: Final = 100
"""The number of such connections that may stay open; further ones are aborted, which senders also take as "try again".
"""


class Overflow:
    """Turns connections away. The caller reads and drops what they send."""

    def __init__(self) -> None:
        self._lingering: dict[asyncio.WriteTransport, tuple[asyncio.TimerHandle, object]] = {}

    def turn_away(self, transport: asyncio.WriteTransport, error: RequestRejected, owner: object = None) -> None:
        """Send the error and close. `owner` is kept meanwhile: a StreamWriter closes its transport when nothing refers
        to it."""
        if len(self._lingering) >= LINGERING:
            transport.abort()
            return
        transport.write(raw_response(error))
        if transport.can_write_eof():
            transport.write_eof()
        timer = asyncio.get_running_loop().call_later(_LINGER, self._cut, transport)
        self._lingering[transport] = timer, owner

    def close(self) -> None:
        """Abort the connections that are still open."""
        for transport, (timer, _) in tuple(self._lingering.items()):
            timer.cancel()
            self._cut(transport)

    def _cut(self, transport: asyncio.WriteTransport) -> None:
        transport.abort()
        del self._lingering[transport]
