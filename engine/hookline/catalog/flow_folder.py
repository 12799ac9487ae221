"""The flow files of a folder: listing them and watching them for changes."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple

from watchfiles import awatch

SCHEMA_FILE: Final = "flow.schema.json"
_STEP_MS: Final = 100
"""Milliseconds between two looks of the watch, each of which takes the interpreter's lock. Changes are reported as soon
as a look finds no further ones."""


class FileStamp(NamedTuple):
    """The properties of a file that change when it is written or replaced."""

    modified: int
    """Nanoseconds."""
    size: int
    inode: int


UNKNOWN: Final = FileStamp(0, 0, 0)
"""The stamp of a file that could not be read, which no file has."""


def scan(directory: Path) -> dict[Path, FileStamp]:
    """The flow files directly in a folder, in the order of their names; none if the folder doesn't exist.

    Case files (`<id>.test.json`), the JSON Schema and hidden files are not flows. Links are followed.
    """
    return {directory / name: stamp for name, stamp in sorted(stamps(directory).items())}


def read_file(file: Path) -> bytes:
    """The contents of a file of the folder. Raises OSError, also for a pipe or a device, which may have no end."""
    with open(file, "rb", opener=_without_waiting) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(file))
        return opened.read()


def _without_waiting(path: str, flags: int) -> int:
    """Open a file. A pipe without a writer is opened at once."""
    return os.open(path, flags | os.O_NONBLOCK)


def stamp_of(file: Path) -> FileStamp | None:
    """The stamp of a file; None if it doesn't exist or can't be reached."""
    try:
        status = file.stat()
    except OSError:
        return None
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


def stamps(directory: Path) -> dict[str, FileStamp]:
    """The flow files by name and unsorted: cheap enough to call every few seconds."""
    found: dict[str, FileStamp] = {}
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return found
    with entries:
        for entry in entries:
            name = entry.name
            if name.endswith(".json") and not name.endswith(".test.json") and name != SCHEMA_FILE and name[0] != ".":
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    # The file was removed in between, or is a broken link.
                    continue
                except OSError:
                    # A link to itself or into a folder without permission. Reading the file reports which.
                    found[name] = UNKNOWN
                    continue
                found[name] = FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)
    return found


async def watch(
    directory: Path,
    known: Callable[[], Mapping[str, FileStamp]] | None = None,
    *,
    stop: Any = None,
    every: float = 5.0,
) -> AsyncGenerator[None, None]:
    """Yield each time the flow files of a folder have changed, and at once if they differ from those that are known.

    `known` returns the files as the caller has read them last, and the folder is compared with these. So if the caller
    reads a change that is undone right afterwards, the undoing counts as another change. If `known` is None, the
    first scan counts as a change, and each later one is compared with the one before.
    The folder may be created later, or removed and created again. While it can't be read, nothing counts as changed.
    Changes that the system doesn't report, as on network file systems, are found by a scan after `every` seconds.
    `stop`: an event that ends it.
    """
    seen: Mapping[str, FileStamp] | None = None

    async def changed() -> bool:
        nonlocal seen
        # In a thread: 10,000 files take 20 ms.
        found = await asyncio.to_thread(_scanned, directory)
        before = seen if known is None else known()
        # If the folder exists but can't be read, the known flows stay until it can.
        seen = (before or {}) if found is None else found
        return seen != before

    if await changed():
        yield
    while True:
        # If the folder doesn't exist, its nearest existing parent is watched.
        target = _target(directory)
        changes = awatch(
            target[0],
            watch_filter=None,
            recursive=False,
            stop_event=stop,
            yield_on_timeout=True,
            step=_STEP_MS,
            ignore_permission_denied=True,
            rust_timeout=int(every * 1000),
        )
        try:
            async with aclosing(changes):
                async for _ in changes:
                    if await changed():
                        yield
                    if _target(directory) != target:
                        break
                else:
                    return
        except FileNotFoundError:
            # The folder was removed between the scan and the watch; scan again.
            continue
        if await changed():
            yield


def _scanned(directory: Path) -> Mapping[str, FileStamp] | None:
    try:
        return stamps(directory)
    except OSError:
        return None


def _target(directory: Path) -> tuple[Path, int]:
    """The folder to watch and its inode, which changes if the folder is removed and created again."""
    for folder in (directory.absolute(), *directory.absolute().parents):
        try:
            status = folder.stat()
        except OSError:
            continue
        if folder.is_dir():
            return folder, status.st_ino
    raise FileNotFoundError(directory)
