"""Ports for servers that tests start: each belongs to one test process until that ends."""

import errno
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

#: Below the ports that the system gives to outgoing connections: one of those must not take a server's between its
#: stop and its next start.
_PORTS: Final = range(15_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and that no other test process is given meanwhile."""
    folder = Path(tempfile.gettempdir()) / "hookline-test-ports"
    folder.mkdir(exist_ok=True)
    for port in random.sample(_PORTS, len(_PORTS)):
        lock = os.open(folder / str(port), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EWOULDBLOCK, errno.EADDRINUSE):
                raise
            continue
        # The lock stays until the system gives it free at the end of the process, however that ends.
        return port
    raise AssertionError("no port is free")
