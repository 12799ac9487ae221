"""The trigger `file.new`."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Duration, Identity, Item, PollContext, Polled, StepError, changed_items
from hookline_files.connectors import file as file_connector
from hookline_files.root import inside, refused

FILES: Final = 20_000
"""Files that are kept track of: each is in the cursor."""


@file_connector.poll(every="1m")
async def new(
    ctx: PollContext[None],
    cursor: Any,
    folder: Annotated[
        str, Identity(), Field(description="Which folder, under the server's HOOKLINE_FILES; by default that itself.")
    ] = "",
    pattern: Annotated[
        str, Identity(), Field(min_length=1, description="The names that count, such as `*.csv`.")
    ] = "*",
    recursive: Annotated[bool, Identity(), Field(description="Whether folders within it count, too.")] = False,
    existing: Annotated[bool, Field(description="Whether files that are there at the first look are new.")] = False,
    settled: Annotated[
        Duration, Field(description="How long a file has to be unchanged: what is still being written doesn't count.")
    ] = timedelta(seconds=5),
) -> Polled:
    """Starts an execution for each new or changed file of a folder.

    The message's body is `path` (as `file.read` takes it), `name`, `size` and `modified_at`. Links don't count, nor do
    names that begin with a dot unless the pattern does, too. At most 20,000 files of a folder may match.
    """
    place = inside(ctx, folder) if folder else _root(ctx)
    try:
        found = await asyncio.to_thread(_listed, place, folder, pattern, recursive, ctx.now - settled)
    except OSError as error:
        raise refused(folder or ".", error) from error
    return changed_items(found, cursor, existing=existing)


def _root(ctx: PollContext[None]) -> Path:
    # Any name stands under the folder for files, if there is one.
    return inside(ctx, "file").parent


def _listed(place: Path, folder: str, pattern: str, recursive: bool, until: datetime) -> list[Item]:
    """The files, those that changed longest ago first."""
    if place.is_symlink():
        raise NotADirectoryError(20, "it is a link, which may lead anywhere")
    found: list[tuple[datetime, str, int]] = []
    for path, status in _files(place, folder, pattern, recursive):
        if len(found) == FILES:
            raise StepError(
                f"folder {folder or '.'!r} has more than {FILES} files that match {pattern!r}; "
                "move away those that are done, or narrow the pattern",
                code="file.too_many",
            )
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        if modified <= until:
            found.append((modified, path, status.st_size))
    return [
        Item(path, {"path": path, "name": path.rpartition("/")[2], "size": size, "modified_at": _text(modified)})
        for modified, path, size in sorted(found)
    ]


def _files(place: Path, path: str, pattern: str, recursive: bool) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(".") and not pattern.startswith("."):
                continue
            inner = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir(follow_symlinks=False):
                if recursive:
                    yield from _files(Path(entry.path), inner, pattern, recursive)
            elif fnmatchcase(entry.name, pattern):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    # Moved away meanwhile.
                    continue
                if S_ISREG(status.st_mode):
                    yield inner, status


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
