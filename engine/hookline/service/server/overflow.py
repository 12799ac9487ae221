"""Responses that don't pass through a server; among them the 503 of each connection above the limit."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from hookline.kernel.errors import RequestRejected
from hookline.service.problem_documents import rejection_response
from hookline.service.request_and_response import HookResponse
from hookline.service.sandbox_headers import SANDBOX


def raw_response(error: RequestRejected) -> bytes:
    """A rejection as an HTTP/1.1 response, the last of its connection."""
    return response_bytes(rejection_response(error), close=True)


def response_bytes(reply: HookResponse, headers: Sequence[tuple[bytes, bytes]] = (), *, close: bool) -> bytes:
    """A response with a body as HTTP/1.1. `headers`: further ones. `close`: it is the last of its connection."""
    lines = [_status_line(reply.status)]
    lines += [b"%b: %b\r\n" % header for header in headers]
    lines += [b"%b: %b\r\n" % header for header in (*reply.headers, *SANDBOX)]
    lines.append(b"content-length: %d\r\n" % len(reply.body))
    lines.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    lines.append(reply.body)
    return b"".join(lines)


@lru_cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())


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
