"""A lock file: one process for each SQLite database."""

import contextlib
import fcntl
import os
from pathlib import Path

from hookline.api import StoreError


class ProcessLock:
    """A lock that is held while the process lives, and released when it dies in any way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises StoreError if another process holds it."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StoreError(
                f"process {holder} has the database open (lock file {self.path}), and only one process may use a "
                "SQLite database: if it is a command, try again when it has ended; if it is a server, use its API or "
                "stop it; or use PostgreSQL"
            ) from None
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Release the lock. The file stays: if it were removed, two processes could lock two files of the same name."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # a file system that is gone has let go of the lock too
                os.ftruncate(file, 0)
            os.close(file)
