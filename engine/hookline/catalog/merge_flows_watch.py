"""Watching a folder of flows."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from watchfiles import awatch

from hookline.catalog.folder import Stamp, stamps


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


def _look(directory: Path, seen: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
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
