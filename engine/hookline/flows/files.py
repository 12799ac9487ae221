"""Which files of a folder are flows, and when they last changed."""

import os
from pathlib import Path
from typing import Final, NamedTuple

SCHEMA_FILE: Final = "flow.schema.json"


class Stamp(NamedTuple):
    """What changes when a file is written or replaced."""

    modified: int
    """Nanoseconds."""
    size: int
    inode: int


def scan(directory: Path) -> dict[Path, Stamp]:
    """The flow files directly in a folder, in the order of their names; none where there is no such folder.

    Case files (`<id>.test.json`), the JSON Schema and hidden files are no flows. Links are followed.
    """
    found: dict[Path, Stamp] = {}
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - with a thousand files, strings are noticeably faster
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        if not name.endswith(".json") or name.endswith(".test.json") or name == SCHEMA_FILE or name.startswith("."):
            continue
        path = directory / name
        try:
            status = path.stat()
        except FileNotFoundError:
            # Removed in between, or a link to nothing: it is no flow now.
            continue
        found[path] = Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
    return found
