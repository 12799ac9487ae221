"""The lock of a SQLite file: one process for each database.

The lock is on the file itself, so it doesn't matter by which path or link the file is opened, and no other file has to
stay. It is a lock of the open file ("OFD"), apart from the locks of SQLite, which are at other places of the file and
belong to the process.
"""

import errno
import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Final

from hookline.api import StoreError

_PLACE: Final = 2**62
"""The place of the lock, far behind everything that SQLite locks. Its length is its holder's process id, plus 1."""
_FORMAT: Final = "qqihh" if sys.platform == "darwin" else "hhqqi4x"
_SET: Final = getattr(fcntl, "F_OFD_SETLK", None)
_GET: Final = getattr(fcntl, "F_OFD_GETLK", None)

_held: Final[set[tuple[int, int]]] = set()
"""The files that this process has locked. To open and close such a file again would release the locks of SQLite."""


class ProcessLock:
    """A lock that is held while the process lives, and released when it dies in any way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._identity: tuple[int, int] | None = None

    def acquire(self) -> None:
        """Take the lock; the file is created if it doesn't exist. Raises StoreError if another process holds it."""
        if self.path.exists() and _identity(self.path.stat()) in _held:
            raise self._taken(os.getpid())
        # SQLite gives its other files the same mode.
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._identity = _identity(os.fstat(file))
        _held.add(self._identity)

    def _lock(self, file: int) -> None:
        if _SET is None or _GET is None:
            raise StoreError(f"{self.path}: this system can't lock open files; use PostgreSQL")
        try:
            fcntl.fcntl(file, _SET, _pack(_PLACE, os.getpid() + 1))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise self._taken(_length(fcntl.fcntl(file, _GET, _pack(_PLACE, 0))) - 1) from None
            raise StoreError(
                f"{self.path}: its file system can't lock it ({error.strerror}); use one that can, or PostgreSQL"
            ) from error

    def _taken(self, holder: int) -> StoreError:
        who = str(holder) if holder > 0 else "unknown"
        return StoreError(
            f"process {who} has the database {self.path} open, and only one process may use a SQLite database: if it "
            "is a command, try again when it has ended; if it is a server, use its API or stop it; or use PostgreSQL"
        )

    def release(self) -> None:
        """Release the lock. SQLite must have closed the file: its locks would be released too."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)
        if self._identity is not None:
            _held.discard(self._identity)
            self._identity = None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _pack(start: int, length: int) -> bytes:
    if sys.platform == "darwin":
        return struct.pack(_FORMAT, start, length, 0, fcntl.F_WRLCK, os.SEEK_SET)
    return struct.pack(_FORMAT, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)


def _length(packed: bytes) -> int:
    fields = struct.unpack_from(_FORMAT, packed)
    return int(fields[1] if sys.platform == "darwin" else fields[3])
