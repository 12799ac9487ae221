"""The identity of this host and of its processes."""

import os
import platform
from functools import cache
from pathlib import Path
from typing import Final

#: The places of the state, and of the time at which it started, in `_fields`. See proc_pid_stat(5).
_STATE: Final = 0
_STARTED: Final = 19
_ZOMBIE: Final = "Z"
_LARGEST_PID: Final = 2**31


@cache
def host_of_process() -> str:
    """Identify this host, as long as it runs: processes with the same text see each other's process ids."""
    return f"{_read('/proc/sys/kernel/random/boot_id') or platform.node()} {_namespace()}"


def process_identity(pid: int | None = None) -> str | None:
    """Identify a process of this host (None: this one) for all time, as far as the system tells when it started.

    None if the system tells nothing about another process.
    """
    pid = os.getpid() if pid is None else pid
    fields = _fields(pid)
    if fields is None:
        return f"{pid}" if pid == os.getpid() else None
    return f"{pid} {fields[_STARTED]}"


def has_ended(identity: str) -> bool:
    """Return true if a process of this host has ended. If the system doesn't tell, it has not."""
    text, _, started = identity.partition(" ")
    if not text.isdecimal() or not 0 < (pid := int(text)) < _LARGEST_PID:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it belongs to another user, who may hide when it started
    fields = _fields(pid)
    if fields is None:
        return False
    return fields[_STATE] == _ZOMBIE or (started != "" and fields[_STARTED] != started)


def _fields(pid: int) -> list[str] | None:
    """The fields of a process's status after its name, which may contain anything."""
    status = _read(f"/proc/{pid}/stat")
    return None if status is None else status.rpartition(")")[2].split()


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
