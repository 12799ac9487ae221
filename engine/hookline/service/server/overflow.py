"""Connections above the limit: each gets a 503 and is closed."""

import asyncio
from http import HTTPStatus
from typing import Final

from hookline.kernel.errors import RequestRejected
from hookline.service.problems import rejection_response
from hookline.service.sandbox import SANDBOX


def raw_response(error: RequestRejected) -> bytes:
    """A rejection as an HTTP/1.1 response, the last of its connection."""
    reply = rejection_response(error)
    headers = [*reply.headers, *SANDBOX, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (reply.status, HTTPStatus(reply.status).phrase.encode(), head, reply.body)


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
