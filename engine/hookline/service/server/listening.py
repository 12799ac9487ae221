"""Listening sockets."""

import socket
from typing import Final

from hookline.kernel.errors import ConfigError

BACKLOG: Final = 1024
"""Complete connections that wait until they are accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes any free port. Raises ConfigError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # The text in brackets repeats the address.
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"can't listen on {host} port {port}: {why}; choose another") from error
    sock.setblocking(False)
    return sock
