"""Listing the files of a folder."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG

from hookline.api import Log


def files_in(
    place: Path, path: str, pattern: str, recursive: bool, left_out: list[str]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the paths of the files that match, with their properties. Raises OSError.

    `path`: the path of the folder, with which theirs begin. Names that aren't UTF-8, which no message can hold, are
    added to `left_out`.
    """
    if place.is_symlink():
        raise NotADirectoryError(20, "it is a link, which may point anywhere")
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(".") and not pattern.startswith("."):
                continue
            inner = f"{path}/{entry.name}" if path else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if not (recursive if is_folder else fnmatchcase(entry.name, pattern)):
                continue
            if not _is_text(entry.name):
                left_out.append(os.fsencode(inner).decode(errors="backslashreplace"))
            elif is_folder:
                yield from files_in(Path(entry.path), inner, pattern, recursive, left_out)
            else:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    # It was moved or deleted meanwhile.
                    continue
                if S_ISREG(status.st_mode):
                    yield inner, status


def _is_text(name: str) -> bool:
    """Return false for a name with bytes that aren't UTF-8, each of which is half of a surrogate pair."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def warn_of_left_out(log: Log, left_out: Sequence[str]) -> None:
    """Log which names a listing has left out, if any."""
    if left_out:
        log.warning("names that aren't UTF-8 are left out", count=len(left_out), first=left_out[0])


def shown_time(at: datetime) -> str:
    """Return a time as RFC 3339."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
