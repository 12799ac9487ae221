"""A directory of blobs: `ab/cd/<id>` for each, and `incoming/` for those that are being written.

Ids are random, and made here: no name that comes from outside is ever part of a path. A blob's modification time is the
time of its commit by the engine's clock.
"""

import asyncio
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Final, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from hookline.api import StoreError
from hookline.api_storage import BlobGone, Blobs, Clock, Threads

from .writer import FileWriter, sync

_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHARD: Final = re.compile(r"[0-9a-f]{2}")

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 8
READ: Final = 64 * 1024
"""The least number of bytes to read at once: a change of threads costs more than reading them."""


class DirectoryBlobs:
    """Blobs as files of one directory, which is created if it doesn't exist."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._clock = clock
        self._writing: set[str] = set()
        #: The durable directories; there are at most 65,536, with four letters each.
        self._made: set[str] = set()
        self._making = Lock()
        self._threads = Threads(_THREADS, "hookline blobs")

    async def ping(self) -> None:
        await self._in_thread(self._prove)

    def _prove(self) -> None:
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryFile(dir=self._incoming):
                pass
        except OSError as error:
            raise StoreError(f"no files can be stored in {self._root}: {error.strerror}") from error

    async def create(self) -> FileWriter:
        blob_id = uuid.uuid4().hex
        self._writing.add(blob_id)
        return FileWriter(
            blob_id,
            temporary=self._incoming / blob_id,
            place=lambda: self._make_place(blob_id),
            clock=self._clock,
            on_end=self._writing.discard,
            in_thread=self._in_thread,
        )

    def _path(self, blob_id: str) -> Path:
        return self._root / blob_id[:2] / blob_id[2:4] / blob_id

    def _make_place(self, blob_id: str) -> Path:
        """Return the blob's path. A name survives a power failure if that of its directory does, and so on upwards."""
        path = self._path(blob_id)
        shard = blob_id[:4]
        with self._making:
            if shard not in self._made:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                for directory in (path.parent.parent, self._root, self._root.parent):
                    sync(directory)
                self._made.add(shard)
        return path

    async def open(self, blob_id: str, chunk_size: int = READ) -> AsyncIterator[bytes]:
        if chunk_size < 1:
            raise ValueError(f"chunks of {chunk_size} bytes can't be read")
        missing = BlobGone(blob_id)
        if _ID.fullmatch(blob_id) is None:
            raise missing
        with failing("read"):
            try:
                file = await self._opened(self._path(blob_id))
            except FileNotFoundError:
                raise missing from None
            # A whole number of chunks at once.
            size = max(chunk_size, READ // chunk_size * chunk_size)
            try:
                while data := await self._in_thread(_read, file.fileno(), size):
                    for start in range(0, len(data), chunk_size):
                        yield data[start : start + chunk_size]
            finally:
                file.close()

    async def delete(self, blob_id: str) -> None:
        if _ID.fullmatch(blob_id) is not None:
            with failing("deleted"):
                await self._in_thread(self._path(blob_id).unlink, missing_ok=True)

    async def older_than(self, at: datetime) -> AsyncIterator[str]:
        """Yield old blobs; also remove partly written ones from before that time, left by a process that died."""
        limit = at.timestamp()
        with failing("listed"):
            await self._in_thread(self._remove_stale, limit)
            for shard in await self._in_thread(_shards, self._root):
                for blob_id in await self._in_thread(_older, shard, limit):
                    yield blob_id

    async def disk_usage(self) -> int:
        with failing("listed"):
            shards = await self._in_thread(_shards, self._root)
            return sum([await self._in_thread(_size, folder) for folder in (self._incoming, *shards)])

    async def sizes(self, blob_ids: Collection[str]) -> Mapping[str, int]:
        with failing("measured"):
            return await self._in_thread(self._sizes, blob_ids)

    def _sizes(self, blob_ids: Collection[str]) -> dict[str, int]:
        sizes = {}
        for blob_id in blob_ids:
            if _ID.fullmatch(blob_id):
                with suppress(FileNotFoundError):
                    sizes[blob_id] = self._path(blob_id).lstat().st_blocks * 512
        return sizes

    def _remove_stale(self, limit: float) -> None:
        for entry in _entries(self._incoming):
            if entry.name in self._writing:
                continue
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    Path(entry.path).unlink()

    async def close(self) -> None:
        """Do nothing: no file stays open between two calls, and idle threads end."""
        self._threads.shutdown()

    async def _opened(self, path: Path) -> FileIO:
        opened: Future[FileIO] = Future()
        try:
            return await self._in_thread(_open, path, opened)
        except BaseException:
            # The thread may open it all the same, even after the end of the event loop.
            opened.add_done_callback(_close)
            raise

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work in the store's own threads, which plugins that wait for a file can't block."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))


def file_blobs(url: str, *, clock: Clock) -> Blobs:
    """Make the store of `file:///srv/blobs`, or `file:blobs` for a directory in the current one."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path or parts.query or parts.fragment:
        raise StoreError(
            f"{url!r} names no directory: write file:///srv/blobs, or file:blobs for one in the current directory"
        )
    return DirectoryBlobs(Path(path).absolute(), clock)


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise the system's errors as StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the blob {error.filename or ''} can't be {what}: {error.strerror}") from error


def _open(path: Path, opened: "Future[FileIO]") -> FileIO:
    file = path.open("rb", buffering=0)
    opened.set_result(file)
    return file


def _close(opened: "Future[FileIO]") -> None:
    opened.result().close()


def _read(file: int, size: int) -> bytes:
    """Read a number of bytes; fewer only at the end."""
    parts = []
    while size and (part := os.read(file, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _shards(root: Path) -> list[Path]:
    """Return the second-level directories, each of which is read as a whole."""
    return [
        Path(second.path)
        for first in _entries(root)
        if _SHARD.fullmatch(first.name)
        for second in _entries(Path(first.path))
        if _SHARD.fullmatch(second.name)
    ]


def _size(folder: Path) -> int:
    """Return the bytes that the files of a directory take on the disk."""
    size = 0
    for entry in _entries(folder):
        with suppress(FileNotFoundError):
            size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size


def _older(shard: Path, limit: float) -> list[str]:
    found = []
    for entry in _entries(shard):
        with suppress(FileNotFoundError):
            if _ID.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < limit:
                found.append(entry.name)
    return found
