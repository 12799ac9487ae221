"""The writing of one blob."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from hookline.api import StoreError
from hookline.api_storage import Blob, Clock, fault

BUFFER: Final = 256 * 1024
"""The bytes that are collected before a thread writes them, so that small files need one change of threads."""


class FileWriter:
    """Writes and hashes a temporary file, and renames it at the end."""

    def __init__(
        self,
        blob_id: str,
        *,
        temporary: Path,
        place: Callable[[], Path],
        clock: Clock,
        on_end: Callable[[str], None],
        in_thread: Callable[..., Awaitable[None]],
    ) -> None:
        """`place` returns the path of the blob, in a durable directory; `on_end` is called with the id at the end.

        `in_thread` runs work in one of the store's threads.
        """
        self.size = 0
        self._id = blob_id
        self._temporary = temporary
        self._place = place
        self._clock = clock
        self._on_end = on_end
        self._run = in_thread
        self._ended = False
        self._hash = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._gathered = 0
        self._file: int | None = None
        self._over = False
        # If a caller is cancelled, its thread still works; the next call waits for it.
        self._lock = Lock()

    async def write(self, chunk: bytes) -> None:
        if self._over:
            raise StoreError(f"blob {self._id} is not being written any more")
        self.size += len(chunk)
        self._chunks.append(bytes(chunk))
        self._gathered += len(chunk)
        if self._gathered >= BUFFER:
            await self._in_thread(self._append, self._take())

    async def commit(self) -> Blob:
        if self._over:
            raise StoreError(f"blob {self._id} is not being written any more")
        self._over = True
        await self._in_thread(self._finish, self._take())
        return Blob(self._id, self.size, self._hash.hexdigest())

    async def abort(self) -> None:
        self._over = True
        self._take()
        if not self._ended:
            await self._run(self._discard)

    def _take(self) -> list[bytes]:
        chunks, self._chunks, self._gathered = self._chunks, [], 0
        return chunks

    async def _in_thread(self, work: Callable[[list[bytes]], None], chunks: list[bytes]) -> None:
        try:
            await self._run(work, chunks)
        except OSError as error:
            await self.abort()
            raise StoreError(f"blob {self._id} can't be written: {error.strerror}") from error

    def _append(self, chunks: list[bytes]) -> None:
        with self._lock:
            if not self._ended:
                self._write_out(chunks)

    def _write_out(self, chunks: list[bytes]) -> int:
        if self._file is None:
            self._temporary.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        for chunk in chunks:
            self._hash.update(chunk)
            left = memoryview(chunk)
            while left:
                left = left[os.write(self._file, left) :]
        return self._file

    def _finish(self, chunks: list[bytes]) -> None:
        with self._lock:
            if self._ended:
                return
            file = self._write_out(chunks)
            at = self._clock.now().timestamp()
            os.utime(file, (at, at))
            os.fsync(file)
            self._close()
            final = self._place()
            fault("blob.before_commit")
            self._temporary.rename(final)
            sync(final.parent)
            fault("blob.after_commit")
            self._end()

    def _discard(self) -> None:
        with self._lock:
            if not self._ended:
                self._close()
                # Usually it doesn't exist; and if it can't be removed now, it is removed when it is old.
                with suppress(OSError):
                    self._temporary.unlink()
                self._end()

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def _end(self) -> None:
        self._ended = True
        self._on_end(self._id)


def sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
