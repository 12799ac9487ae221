"""The stop of a server, in phases: each sender gets an answer and no reset, and a load balancer has time to notice.

From the beginning of the stop, each answer ends its connection. After a delay, new requests are rejected. Once none
have come for a moment, the listening socket closes, and requests in progress end.
"""

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hookline.kernel.errors import PossiblyStored, ServiceUnavailable
from hookline.service.problem_documents import rejection_response

_RETRY_AFTER: Final = 5.0
STOPPING: Final = rejection_response(ServiceUnavailable("the server is stopping", retry_after=_RETRY_AFTER))
"""The response to a request that isn't handled any more; senders would take a 500 as final."""
STOPPED_STORING: Final = rejection_response(PossiblyStored(retry_after=_RETRY_AFTER))
"""The response when the server no longer waits until a request is stored."""
QUIET: Final = 0.2
"""Seconds without a new connection or request, after which the listening socket closes."""
LONGEST: Final = 5.0
"""Seconds for which new requests are rejected at most, before the listening socket closes in any case."""
FIRST_REQUEST: Final = 1.0
"""Seconds in which a connection that was just made may send its request when the socket closes."""
_PAUSE: Final = 0.01
_LOOK_AT_OTHERS: Final = 0.05
"""Seconds after which the arrivals of other processes are looked at again."""
_HANDSHAKES: Final = 0.05
"""Seconds in which connections that are being made become complete."""
_ACCEPTING: Final = 2.0
"""Seconds in which a busy process accepts the connections that are complete."""


class Others(Protocol):
    """The other processes that accept connections of the same sockets."""

    def go_on(self) -> bool:
        """Return true if they go on accepting, since only this process stops."""
        ...

    def latest_arrival(self, arrival: float) -> float:
        """Tell them the time of this process's last arrival, and return that of all processes."""
        ...


class Stopping:
    """The phases of one server's stop.

    If other processes go on accepting on the same sockets, nothing is rejected: this one accepts nothing more after the
    delay. If all of them stop, they close the sockets at the same time.
    """

    def __init__(self, shutdown: asyncio.Event, delay: float = 0.0, others: Others | None = None) -> None:
        """`shutdown` begins the stop; `delay`: seconds until new requests are rejected."""
        self.begun = shutdown
        """Set once each answer ends its connection."""
        self.closing = asyncio.Event()
        """Set once nothing new is accepted."""
        self.rejecting = False
        self._delay = delay
        self._others = others
        self.last_arrival = 0.0
        """When the last connection or request came, by the event loop's time. The servers set it."""
        self._closing_at: float | None = None
        self._time: Callable[[], float] = asyncio.get_running_loop().time

    async def run(self, *listening: socket.socket) -> None:
        """Wait for the beginning of the stop, and go through its phases, together for all sockets."""
        await self.begun.wait()
        await asyncio.sleep(self._delay)
        if self._others is None or not self._others.go_on():
            self.rejecting = True
            await self._wait_for_quiet()
            await self._take_the_last(listening)
        self._closing_at = self._time()
        self.closing.set()

    async def _wait_for_quiet(self) -> None:
        latest = self._time() + LONGEST
        while True:
            # If the whole process was paused, it first sees the connections and requests that came meanwhile.
            await asyncio.sleep(_PAUSE)
            left = min(self._latest_arrival() + QUIET, latest) - self._time()
            if left <= 0:
                return
            await asyncio.sleep(left if self._others is None else min(left, _LOOK_AT_OTHERS))

    def _latest_arrival(self) -> float:
        return self.last_arrival if self._others is None else self._others.latest_arrival(self.last_arrival)

    async def _take_the_last(self, listening: Sequence[socket.socket]) -> None:
        """Begin no new connections, and wait until those that are complete have been accepted."""
        filtered = [_begins_no_handshakes(one) for one in listening]
        if any(filtered):
            await asyncio.sleep(_HANDSHAKES)
            latest = self._time() + _ACCEPTING
            # No event tells it: the system's queue of connections becomes empty.
            while any(map(_unaccepted, listening)) and self._time() < latest:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE)

    def seconds_since_closing(self) -> float:
        """The seconds for which nothing new has been accepted."""
        return 0.0 if self._closing_at is None else self._time() - self._closing_at


_SO_ATTACH_FILTER: Final = 26
#: A packet filter: packets that begin a connection (the flag SYN in byte 13 of TCP's header) are dropped.
_NO_SYN: Final = (
    (0x30, 0, 0, 13),
    (0x45, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)


def _begins_no_handshakes(listening: socket.socket) -> bool:
    """Let the system begin no new connections on a socket that is about to close; return False if it can't.

    A connection that is complete when the socket closes, and that nobody has accepted, would be reset. With the filter,
    its sender tries again after a second, and learns that nobody listens.
    """
    if sys.platform != "linux":
        return False
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _NO_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(buffer))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True


_UNACKED: Final = struct.Struct("24xI")
"""The place of `tcpi_unacked` in the system's `tcp_info`."""


def _unaccepted(listening: socket.socket) -> int:
    """The number of complete connections that the process hasn't accepted yet: `tcpi_unacked` of a listening socket."""
    try:
        info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
    except OSError:
        # A Unix socket has none.
        return 0
    count: int = _UNACKED.unpack(info)[0]
    return count
