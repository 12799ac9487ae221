"""Fair accepting, by several processes that listen on one socket.

An event loop takes all connections that wait, so that one process would get a whole burst, and keep it while its
connections last. Here a process with clearly more connections than the one with the fewest leaves the next one to that
process. It learns the numbers from memory that all of them share.

No connection waits for a process that doesn't come: after `PATIENCE` anybody takes it, and nobody leaves anything to
a process that hasn't come until it has been seen again.
"""

import asyncio
import contextlib
import errno
import mmap
import os
import select
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 0.1
"""Seconds for which a connection is left to others."""
_LOOK_AGAIN: Final = 0.002
"""Seconds after which a process looks whether another one has taken the connection."""
_IN_ONE_TURN: Final = 16
"""Connections that are accepted in one turn of the event loop."""
_TRY_AGAIN: Final = 1.0
"""Seconds until accepting is tried again after the system couldn't."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_WORD: Final = 8
_ACCEPTS, _OPEN, _LOOKS = range(3)
_FIELDS: Final = 3


class SharedCounts:
    """Numbers that the processes tell one another, in shared memory: for each socket and process three, and for each
    process the time of its last arrival.

    Each number is written by one process only, and read as a hint.
    """

    def __init__(self, descriptor: int, workers: int, sockets: int) -> None:
        """`descriptor`: a result of `create`."""
        self.workers = workers
        self._sockets = sockets
        memory = mmap.mmap(descriptor, _size(workers, sockets))
        self._numbers = memoryview(memory).cast("Q")
        self._times = memoryview(memory).cast("d")

    @staticmethod
    def create(workers: int, sockets: int) -> int:
        """Return the descriptor of new memory, with zeros."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("hookline connections")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        # Written, since a hole in a file on a full disk would end the process that first writes to it.
        os.write(descriptor, bytes(_size(workers, sockets)))
        return descriptor

    def share(self, worker: int, number: int) -> "Share":
        """The share of a worker in a socket; both are counted from 0."""
        return Share(self._numbers, self.workers, worker, number * self.workers * _FIELDS)

    def forget(self, worker: int) -> None:
        """Note that a worker has ended."""
        for number in range(self._sockets):
            self.share(worker, number).end()

    def latest_arrival(self, worker: int, arrival: float) -> float:
        """Tell when the last connection or request has come to a worker, and return when it has come to any.

        Times are seconds of the monotonic clock, which all processes share.
        """
        first = self._sockets * self.workers * _FIELDS
        self._times[first + worker] = arrival
        return max(self._times[first : first + self.workers])


def _size(workers: int, sockets: int) -> int:
    return (sockets * _FIELDS + 1) * workers * _WORD


class Share:
    """The part of one process in the connections of one socket."""

    def __init__(self, numbers: memoryview, workers: int, worker: int, first: int) -> None:
        self._numbers = numbers
        self._row = first + worker * _FIELDS
        self._others = tuple(first + other * _FIELDS for other in range(workers) if other != worker)
        self._looks_before: dict[int, int] = {}
        self.begun = asyncio.Event()
        """Set once this process accepts connections."""
        self._absent: dict[int, int] = {}
        """The processes to which nothing is left, with the number of times that they had looked."""

    def begin(self) -> None:
        """Accept connections from now on."""
        self._numbers[self._row + _OPEN] = 0
        self._numbers[self._row + _ACCEPTS] = 1
        self.begun.set()

    def end(self) -> None:
        """Accept no more."""
        self._numbers[self._row + _ACCEPTS] = 0

    def opened(self, count: int) -> None:
        """Tell the number of open connections."""
        self._numbers[self._row + _OPEN] = count

    def looked(self) -> None:
        """Tell that this process looks after the socket."""
        self._numbers[self._row + _LOOKS] += 1

    def is_due(self) -> bool:
        """True if the next connection is this process's, because no other one has clearly fewer."""
        mine = self._numbers[self._row + _OPEN]
        for other in self._others:
            fewest = self._numbers[other + _OPEN]
            if self._numbers[other + _ACCEPTS] and mine > fewest + 1 + fewest // 16 and not self._is_absent(other):
                return False
        return True

    def begin_waiting(self) -> None:
        """Leave a connection to others from now on."""
        self._looks_before = {other: self._numbers[other + _LOOKS] for other in self._others}

    def waited_in_vain(self) -> None:
        """Nobody has taken the connection: leave nothing to those that haven't looked."""
        for other, looks in self._looks_before.items():
            if self._numbers[other + _LOOKS] == looks:
                self._absent[other] = looks

    def _is_absent(self, other: int) -> bool:
        looks = self._absent.get(other)
        if looks is None:
            return False
        if looks == self._numbers[other + _LOOKS]:
            return True
        del self._absent[other]
        return False


class FairAcceptor:
    """Accepts connections of a shared socket when it is this process's turn. It is closed like a server of asyncio."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.BaseProtocol], share: Share) -> None:
        """`protocol` makes the protocol of a connection."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol = protocol
        self._share = share
        self._open = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._left_since: float | None = None
        """When the connection that waits was first left to others."""
        self._closed = False
        share.begin()
        self._listen()

    def opened(self, count: int) -> None:
        """Tell how many of the accepted connections are open."""
        self._open = count
        self._share.opened(count + len(self._beginning))

    def close(self) -> None:
        """Accept nothing more."""
        if self._closed:
            return
        self._closed = True
        self._share.end()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Wait until the connections that were accepted last have begun."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self) -> None:
        self._left_since = None
        self._loop.add_reader(self._listening, self._look)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listening)
        self._timer = self._loop.call_later(seconds, then)

    def _look(self) -> None:
        """Take the connections that wait, as far as they are this process's."""
        self._share.looked()
        for _ in range(_IN_ONE_TURN):
            if not self._share.is_due():
                self._left_since = self._loop.time()
                self._share.begin_waiting()
                self._pause(_LOOK_AGAIN, self._look_again)
                return
            if not self._accept():
                return

    def _look_again(self) -> None:
        """Take the connection that was left to others, if nobody has."""
        self._share.looked()
        if not _is_readable(self._listening):
            self._listen()
            return
        assert self._left_since is not None  # noqa: S101 - set before the timer
        if not self._share.is_due():
            if self._loop.time() < self._left_since + PATIENCE:
                self._timer = self._loop.call_later(_LOOK_AGAIN, self._look_again)
                return
            self._share.waited_in_vain()
        self._listen()
        self._accept()

    def _accept(self) -> bool:
        """Accept one connection. Return False if there is none, or if it can't be accepted."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # The exception handler reports it as it reports that of the event loop's own accepting.
            context = {"message": "socket.accept() out of system resource", "exception": error}
            self._loop.call_exception_handler(context)
            self._pause(_TRY_AGAIN, self._listen)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._begun)
        self.opened(self._open)
        return True

    async def _begin(self, connection: socket.socket) -> None:
        # A connection may have ended before it began.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(self._protocol, connection)

    def _begun(self, task: "asyncio.Task[None]") -> None:
        self._beginning.discard(task)
        self.opened(self._open)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a connection can't begin", "exception": error}
            self._loop.call_exception_handler(context)


def _is_readable(listening: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    return bool(poll.poll(0))
