"""A lock file: one process for one SQLite database."""

import contextlib
import fcntl
import os
from pathlib import Path

from hookline.api import StoreError


class ProcessLock:
    """Held while the process lives, and free when it has died, however it died."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Raise StoreError where another process has it."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StoreError(
                f"process {holder} has the database (lock file {self.path}), and a SQLite database has one process: "
                "use the API of the server that runs there, stop it, or use PostgreSQL"
            ) from None
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give it free. The file stays: removing it would let two processes lock two files of one name."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # a file system that is gone has let go of the lock too
                os.ftruncate(file, 0)
            os.close(file)
