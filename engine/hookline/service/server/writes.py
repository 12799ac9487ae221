"""The writes of a connection, together for each turn of the event loop."""

import asyncio
from typing import Any, Final

_MOST: Final = 64 * 1024
"""Bytes that are held back; with more, the transport has to know, so that it pauses the writer."""


class TurnTransport(asyncio.Transport):
    """A transport that sends what is written in one turn of the event loop at its end.

    A server writes the head of a response and its body apart. Each write is a system call and wakes the other side,
    which takes as long as much of accepting a message.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """`transport`: that of the event loop."""
        self._transport: asyncio.Transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing  # type: ignore[method-assign]  # it is asked more than once for a request

    @property
    def unsent(self) -> int:
        """The bytes that the system hasn't taken, since the other side doesn't read."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:  # type: ignore[override]  # nothing here writes anything else
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if not self._held:
            return
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def abort(self) -> None:
        self._transport.abort()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def get_write_buffer_size(self) -> int:
        return self._size + self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
