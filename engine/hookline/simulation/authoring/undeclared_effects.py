"""The guard of a worker process, which rejects effects outside the process.

Actions that declare effects are stubbed. The guard is for code that has effects without declaring them. It is no
sandbox for hostile plugins: plugins are trusted like the server itself.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events of Python that reach other machines or processes.
_OUTSIDE: Final = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "sqlite3.connect",
    }
)
#: Audit events that change the paths in their first two arguments.
_CHANGES: Final = frozenset({"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.truncate", "os.link", "os.symlink"})


class EffectDenied(PermissionError):
    """Code that runs without effects must not do this."""


def deny_effects(folder: Path) -> None:
    """Reject connections, other processes, and writes outside a folder, until the process ends."""
    inside = f"{folder.resolve()}{os.sep}"

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OUTSIDE:
            raise EffectDenied(f"{event} is not possible while a flow is tried without effects")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            changed: tuple[Any, ...] = arguments[:1]
        else:
            changed = arguments[:2] if event in _CHANGES else ()
        for path in changed:
            if isinstance(path, str | bytes | os.PathLike):
                name = os.path.realpath(os.fsdecode(path))
                if name != os.devnull and not f"{name}{os.sep}".startswith(inside):
                    raise EffectDenied(f"{name} can't be changed while a flow is tried without effects")

    sys.addaudithook(audit)
