"""The identity of this host and of its processes."""

import os
import platform
from pathlib import Path


def host_of_process() -> str:
    """Identify this host, as long as it runs: processes with the same text see each other's process ids."""
    return f"{_read('/proc/sys/kernel/random/boot_id') or platform.node()} {_namespace()}"


def process_identity(pid: int | None = None) -> str | None:
    """Identify a process of this host (None: this one) for all time; None if there is no such process."""
    pid = os.getpid() if pid is None else pid
    status = _read(f"/proc/{pid}/stat")
    if status is None:
        return f"{pid}" if pid == os.getpid() else None
    # The time at which it started, in ticks since the host did, is the 20th field after the name.
    return f"{pid} {status.rpartition(')')[2].split()[19]}"


def _namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
