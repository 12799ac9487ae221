"""uvicorn's HTTP protocol with the bounds that it lacks.

They are of the time and the bytes that a request's head takes, and of the number of connections: uvicorn's own bound
refuses requests, and leaves the connections open.
"""

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hookline.service.overflow import Overflow

# Errors of the HTTP parser itself have no body.
_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHeadProtocol(HttpToolsProtocol):
    """Closes a connection whose next request's head has begun, or is the first, and doesn't come to its end."""

    head_timeout: ClassVar[float]
    """Seconds; set by a subclass."""

    max_head: ClassVar[int]
    """Bytes, counted in what the socket gives at once."""

    max_connections: ClassVar[int]
    overflow: ClassVar[Overflow]

    _turned_away = False

    _head_size = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A connection: its first request is due."""
        if len(self.connections) >= self.max_connections:
            self._turned_away = True
            self.overflow.turn_away(transport)
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._turned_away:
            return
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        if self._turned_away:
            return
        super().data_received(data)
        if self._head_timer is None:
            return
        self._head_size += len(data)
        if self._head_size > self.max_head and not self.transport.is_closing():
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()

    def eof_received(self) -> None:
        """The other side has sent all."""
        if not self._turned_away:
            super().eof_received()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_timer()
        super().on_headers_complete()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self._head_size = 0

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
