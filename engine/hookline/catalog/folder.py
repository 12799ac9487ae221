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


_UNKNOWN: Final = Stamp(0, 0, 0)


def scan(directory: Path) -> dict[Path, Stamp]:
    """The flow files directly in a folder, in the order of their names; none where there is no such folder.

    Case files (`<id>.test.json`), the JSON Schema and hidden files are no flows. Links are followed.
    """
    return {directory / name: stamp for name, stamp in sorted(stamps(directory).items())}


def stamps(directory: Path) -> dict[str, Stamp]:
    """The same by name and in no order: what is cheap enough to be asked every few seconds."""
    found: dict[str, Stamp] = {}
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
                found[name] = Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
    return found
