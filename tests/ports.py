"""Ports for servers that tests start: each belongs to one test process until that ends."""

import errno
import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import Final, TextIO

#: Below the ports that the system gives to outgoing connections: one of those must not take a server's between its
#: stop and its next start.
_PORTS: Final = range(15_000, 32_000)
_mine: Final[list[TextIO]] = []
"""The locks, which the system gives free when the process ends, however it ends."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and that no other test process is given meanwhile."""
    folder = Path(tempfile.gettempdir()) / "hookline-test-ports"
    folder.mkdir(exist_ok=True)
    for port in random.sample(_PORTS, len(_PORTS)):
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            lock.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EADDRINUSE):
                raise
            continue
        _mine.append(lock)
        return port
    raise AssertionError("no port is free")
