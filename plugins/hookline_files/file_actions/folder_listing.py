"""Listing the files of a folder."""

import os
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG


def files_in(place: Path, path: str, pattern: str, recursive: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the paths of the files that match, with their properties. Raises OSError.

    `path`: the path of the folder, with which theirs begin.
    """
    if place.is_symlink():
        raise NotADirectoryError(20, "it is a link, which may point anywhere")
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(".") and not pattern.startswith("."):
                continue
            inner = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir(follow_symlinks=False):
                if recursive:
                    yield from files_in(Path(entry.path), inner, pattern, recursive)
            elif fnmatchcase(entry.name, pattern):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    # It was moved or deleted meanwhile.
                    continue
                if S_ISREG(status.st_mode):
                    yield inner, status


def shown_time(at: datetime) -> str:
    """Return a time as RFC 3339."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
