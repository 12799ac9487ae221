"""Connections: how many are open, how many of them one address has, how long a client may take to read, and how it is
written to.

No single address has more than half of the places for connections, or for requests on them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from hookline.kernel.errors import ServiceUnavailable
from hookline.service.hooks.sender import Networks, client_of, is_within, parse_address

PATIENCE: Final = 30.0
"""Seconds in which a client may read nothing."""
MIN_RATE: Final = 10_000.0
"""Bytes a second that it has to read."""
_RETRY_AFTER: Final = 5.0


class ConnectionSlots:
    """A number of slots for connections, or for requests on them."""

    changed: Callable[[int], None] | None = None
    """Called with the number of slots that are taken, when it has changed."""

    def __init__(self, what: str, most: int, trusted: Networks = ()) -> None:
        """`what`: their plural, for errors. `trusted`: the proxies, behind each of which are many senders."""
        self._what = what
        self._most = most
        self._each = max(1, most // 2)
        self._trusted = tuple(trusted)
        self._taken: dict[str, int] = {}
        """The slots taken, by client; those of the proxies are together."""
        self._total = 0

    def enter(self, peer: str | None) -> "ConnectionSlot":
        """Take a slot for an address, as the socket has it. Raises ServiceUnavailable."""
        client = self._client(peer)
        if self._total >= self._most:
            raise ServiceUnavailable(f"there are too many {self._what}", retry_after=_RETRY_AFTER)
        if client and self._taken.get(client, 0) >= self._each:
            raise ServiceUnavailable(f"your address has too many {self._what}", retry_after=_RETRY_AFTER)
        self._total += 1
        self._taken[client] = self._taken.get(client, 0) + 1
        if self.changed is not None:
            self.changed(self._total)
        return ConnectionSlot(self, client)

    def leave(self, client: str) -> None:
        """Give one slot back."""
        self._total -= 1
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]
        if self.changed is not None:
            self.changed(self._total)

    def _client(self, peer: str | None) -> str:
        address = None if peer is None else parse_address(peer)
        if address is not None and is_within(address, self._trusted):
            return ""
        return client_of(address)


class ConnectionSlot:
    """A slot that is taken, until it is given back."""

    __slots__ = ("_client", "_slots")

    def __init__(self, slots: ConnectionSlots, client: str) -> None:
        self._slots: ConnectionSlots | None = slots
        self._client = client

    def leave(self) -> None:
        """Give the slot back; further calls do nothing."""
        if self._slots is not None:
            self._slots.leave(self._client)
            self._slots = None


def abort_unless_read(transport: asyncio.WriteTransport, size: int, patience: float = PATIENCE) -> asyncio.TimerHandle:
    """Abort a connection unless the timer is cancelled before its client could have read so many bytes."""
    return asyncio.get_running_loop().call_later(patience + size / MIN_RATE, transport.abort)


class LastingTimer:
    """Calls a function when something has lasted for some seconds. Beginning and ending it again costs nearly nothing:
    the timer of the loop stays, and goes on for what is left."""

    __slots__ = ("_call", "_handle", "_loop", "_seconds", "_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], object]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._call = call
        self._since: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._since is not None

    def begin(self) -> None:
        """It begins, or begins anew."""
        self._since = self._loop.time()
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._look)

    def end(self) -> None:
        """It is over."""
        self._since = None

    def cancel(self) -> None:
        """It is over, and doesn't begin again."""
        self._since = None
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        self._handle = None
        if self._since is None:
            return
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._handle = self._loop.call_later(left, self._look)
        else:
            self._since = None
            self._call()


_MOST_HELD: Final = 64 * 1024
"""Bytes that are held back; with more, the transport has to know, so that it pauses the writer."""


class TurnTransport(asyncio.Transport):
    """A transport that sends what is written in one turn of the event loop at its end.

    A server writes the head of a response and its body apart. Each write is a system call and wakes the other side,
    which takes as long as much of accepting a message.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, keep: object = None) -> None:
        """`transport`: that of the event loop. `keep`: its own writer, which would close it when it is collected."""
        self._keep = keep
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
        if self._size > _MOST_HELD:
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
