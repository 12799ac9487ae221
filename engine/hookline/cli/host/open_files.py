"""The limit of open files of this process: raised as far as the server needs it, and checked."""

import resource
from typing import Final

from hookline.kernel.logs import Log
from hookline.service.server.connection_limit import LINGERING

_OTHERS: Final = 1024
"""Descriptors for everything except connections: outgoing requests, databases, files, plugins."""


def reserve_files(max_connections: int, log: Log, apart: int = 0) -> int:
    """Raise the soft limit of open files to what so many connections need; return the number that can be served.

    `apart`: further connections, which are served in any case.
    If the hard limit is too low, the log says so, and a quarter of it is kept for everything except connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_connections + apart + LINGERING + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return max_connections
    if hard == resource.RLIM_INFINITY or hard >= needed:
        soft = _raised(needed, hard, soft)
    elif hard > soft:
        soft = _raised(hard, hard, soft)
    if soft >= needed:
        return max_connections
    served = max(1, min(max_connections, soft - apart - LINGERING - min(_OTHERS, soft // 4)))
    log.warning(
        "the limit of open files is too low",
        limit=soft,
        needed=needed,
        max_connections=max_connections,
        connections_served=served,
        remedy=f"allow {needed} open files (ulimit -n, LimitNOFILE=), or set max_connections = {served}",
    )
    return served


def _raised(wanted: int, hard: int, soft: int) -> int:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # A system may have a lower limit than it says.
        return soft
    return wanted
