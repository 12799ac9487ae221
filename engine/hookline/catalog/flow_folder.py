"""Which files of a folder are flows, and when they last changed."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple

from watchfiles import awatch

SCHEMA_FILE: Final = "flow.schema.json"


class FileStamp(NamedTuple):
    """What changes when a file is written or replaced."""

    modified: int
    """Nanoseconds."""
    size: int
    inode: int


_UNKNOWN: Final = FileStamp(0, 0, 0)


def scan(directory: Path) -> dict[Path, FileStamp]:
    """The flow files directly in a folder, in the order of their names; none where there is no such folder.

    Case files (`<id>.test.json`), the JSON Schema and hidden files are no flows. Links are followed.
    """
    return {directory / name: stamp for name, stamp in sorted(stamps(directory).items())}


def stamps(directory: Path) -> dict[str, FileStamp]:
    """The same by name and in no order: what is cheap enough to be asked every few seconds."""
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
                    # Removed in between, or a link to nothing: it is no flow now.
                    continue
                except OSError:
                    # A link to itself, or into a folder that is closed to us: reading it says which.
                    found[name] = _UNKNOWN
                    continue
                found[name] = FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)
    return found


async def watch(directory: Path, *, stop: Any = None, every: float = 5.0) -> AsyncGenerator[None, None]:
    """Yields at once, and then each time the flow files of a folder have changed.

    The folder may appear later, go, and come again; while it can't be read, nothing has changed. What the system
    doesn't report (network file systems don't) is found by looking every so many seconds. `stop`: an event that ends
    it.
    """
    seen = _look(directory, {})
    yield
    while True:
        # A folder that doesn't exist is waited for in the nearest one that does.
        target = _target(directory)
        changes = awatch(
            target[0],
            watch_filter=None,
            recursive=False,
            stop_event=stop,
            yield_on_timeout=True,
            rust_timeout=int(every * 1000),
        )
        try:
            async with aclosing(changes):
                async for _ in changes:
                    now = _look(directory, seen)
                    if now != seen:
                        seen = now
                        yield
                    if _target(directory) != target:
                        break
                else:
                    return
        except FileNotFoundError:
            # It went between the look and the watch; look again.
            continue
        now = _look(directory, seen)
        if now != seen:
            seen = now
            yield


def _look(directory: Path, seen: Mapping[str, FileStamp]) -> Mapping[str, FileStamp]:
    try:
        return stamps(directory)
    except OSError:
        # It is there and can't be read now: flows go on as they are known until it can.
        return seen


def _target(directory: Path) -> tuple[Path, int]:
    """The folder to watch, and its identity: one that is removed and made anew is another."""
    for folder in (directory.absolute(), *directory.absolute().parents):
        try:
            status = folder.stat()
        except OSError:
            continue
        if folder.is_dir():
            return folder, status.st_ino
    raise FileNotFoundError(directory)
