"""Connections above the bound: each is told to try again later, and closed."""

import asyncio
from http import HTTPStatus
from typing import Final

from hookline.kernel.errors import CannotTake, RequestRejected
from hookline.service.problems import rejection_response


def raw_response(error: RequestRejected) -> bytes:
    """A rejection as HTTP/1.1, the last of its connection."""
    reply = rejection_response(error)
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (reply.status, HTTPStatus(reply.status).phrase.encode(), head, reply.body)


MAX_CONNECTIONS: Final = 1000
_RETRY_AFTER: Final = 5.0
_LINGER: Final = 1.0
"""Seconds until such a connection is closed: at once, the reset of what the sender still writes could overtake it."""
_LINGERING: Final = 100
"""How many may linger so; more are cut without a word, which senders also take as "try again"."""


class Overflow:
    """Turns connections away. Reading what they send, and throwing it away, is the caller's."""

    def __init__(self) -> None:
        self._answer = raw_response(CannotTake("there are too many connections", retry_after=_RETRY_AFTER))
        self._lingering: dict[asyncio.WriteTransport, tuple[asyncio.TimerHandle, object]] = {}

    def turn_away(self, transport: asyncio.WriteTransport, owner: object = None) -> None:
        """Answer 503 and close. `owner` is kept meanwhile: a StreamWriter closes its transport when nobody has it."""
        if len(self._lingering) >= _LINGERING:
            transport.abort()
            return
        transport.write(self._answer)
        if transport.can_write_eof():
            transport.write_eof()
        timer = asyncio.get_running_loop().call_later(_LINGER, self._cut, transport)
        self._lingering[transport] = timer, owner

    def close(self) -> None:
        """Cut those that linger."""
        for transport, (timer, _) in tuple(self._lingering.items()):
            timer.cancel()
            self._cut(transport)

    def _cut(self, transport: asyncio.WriteTransport) -> None:
        transport.abort()
        del self._lingering[transport]
