"""A worker: one process of a server of several, and what passes between it and its parent.

The parent gives it the listening sockets, and a control socket. Over that, the parent sends the worker's assignment,
and then the number of each signal that it passes on. The worker answers once, when it is ready. The end of the control
socket is the end of the parent.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hookline.cli.host.process_signals import Stopper
from hookline.kernel.errors import ConfigError
from hookline.service.server.fair_acceptor import SharedCounts

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
END: Final = b"\n"
"""The end of a message."""
_SIGNALS: Final = 64
"""Numbers of signals that are read at once."""


class Assignment(msgspec.Struct, frozen=True):
    """The first message to a worker. Descriptors are those that it has inherited."""

    number: int
    """Counted from 1."""
    workers: int
    sockets: tuple[int, ...]
    """The listening sockets: the public one, and that of the admin API if it has one of its own."""
    counts: int
    """The memory of `SharedCounts`."""
    folder: str
    """A private folder for the sockets of the workers."""


class Ready(msgspec.Struct, frozen=True):
    """The answer of a worker that is ready."""

    url: str
    """The URL of the hooks on this machine."""
    api_url: str
    """The URL of the admin API on this machine."""
    admin_url: str
    """The URL under which people reach the admin API."""
    token_file: str | None
    no_console: str | None = None
    """Why there is no console, with the remedy."""


def _assignment(text: bytes) -> Assignment:
    try:
        return msgspec.json.decode(text, type=Assignment)
    except msgspec.DecodeError as error:
        # The parent has ended, or somebody else uses the option.
        raise ConfigError("no parent tells this worker what to do; start workers with --workers") from error


def line(message: msgspec.Struct) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message) + END


class Worker:
    """This process's part in a server of several processes."""

    def __init__(self, control: int) -> None:
        """`control`: the descriptor of the control socket, which this process has inherited."""
        self._control = socket.socket(fileno=control)
        with self._control.makefile("rb", buffering=0) as received:
            assignment = _assignment(received.readline())
        self.number = assignment.number
        self.workers = assignment.workers
        self.folder = Path(assignment.folder)
        for descriptor in (control, assignment.counts, *assignment.sockets):
            # Processes that this one starts must not keep the sockets open.
            os.set_inheritable(descriptor, False)
        self.sock, *further = (socket.socket(fileno=descriptor) for descriptor in assignment.sockets)
        self.admin_sock = further[0] if further else None
        self._counts = SharedCounts(assignment.counts, assignment.workers, len(assignment.sockets))
        self.shares = tuple(self._counts.share(self.number - 1, one) for one in range(len(assignment.sockets)))
        """The shares in the listening sockets, in the order of the sockets."""
        self._all_stop = False
        self._orphan = False

    def go_on(self) -> bool:
        """Return true if the other workers go on accepting while this one stops."""
        return not self._all_stop

    def latest_arrival(self, arrival: float) -> float:
        """Tell when the last connection or request has come to this worker, and return when to any worker."""
        return self._counts.latest_arrival(self.number - 1, arrival)

    async def report(self, ready: Ready) -> None:
        """Tell the parent that this worker is ready, once it accepts connections."""
        for share in self.shares:
            await share.begun.wait()
        with contextlib.suppress(OSError):
            # If the parent has gone, `follow` notices it.
            self._control.send(line(ready))

    def follow(self, stopper: Stopper, reload: Callable[[], None]) -> None:
        """Do from now on what the parent and signals say.

        A signal to this process alone stops it alone, however often it comes: a supervisor may send the first one to
        all processes, and then it comes from the parent too.
        """
        loop = asyncio.get_running_loop()
        for one in STOPS:
            loop.add_signal_handler(one, stopper.begin, one.name)
        loop.add_signal_handler(signal.SIGHUP, reload)

        def read() -> None:
            numbers = b""
            # A parent that ended without reading the answer resets the socket.
            with contextlib.suppress(ConnectionResetError):
                numbers = self._control.recv(_SIGNALS)
            if not numbers:
                loop.remove_reader(self._control)
                self._all_stop = self._orphan = True
                stopper.orphaned()
            for number in map(signal.Signals, numbers):
                if number not in STOPS:
                    reload()
                elif not self._all_stop:
                    self._all_stop = True
                    stopper.begin(number.name)
                else:
                    stopper.at_once(number.name)

        self._control.setblocking(False)
        loop.add_reader(self._control, read)

    def leave(self) -> None:
        """Remove the folder, if the parent can't do it any more."""
        if self._orphan:
            # The last worker can.
            with contextlib.suppress(OSError):
                self.folder.rmdir()
