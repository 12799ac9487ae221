"""The folder for files, which no path of a flow or a message can leave."""

from pathlib import Path
from typing import Final
from unicodedata import category

from hookline.kernel.errors import StepError

SQLITE_SIDE_FILES: Final = ("-journal", "-wal", "-shm")
"""The ends of the names of files that SQLite keeps beside a database. It believes them: a forged journal makes it
delete any file that the journal names."""


def file_place(root: Path | None, path: str, *, absolute: bool = False) -> Path:
    """Return the place of a path below the folder for files, with links resolved. A link in the last part stays one.

    `absolute`: the path may also be absolute, if it is below the folder. A person who can make links in that folder
    while a step runs is trusted, because the files are accessible anyway. Raises StepError: `file.path` if the path
    leads out, `file.no_root` if there is no folder.
    """
    if root is None:
        raise StepError(
            "there is no folder for files here; a server has one: its setting HOOKLINE_FILES", code="file.no_root"
        )
    try:
        folder = root.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _unusable(root, path, error) from error
    inner = path
    if absolute and path.startswith("/"):
        inner = next((path.removeprefix(f"{one}/") for one in (root, folder) if path.startswith(f"{one}/")), "/")
    parts = inner.split("/")
    if any(category(letter) in ("Cc", "Cs") for letter in path) or any(part in ("", ".", "..") for part in parts):
        raise StepError(
            f"{path!r} is not a path of a file under HOOKLINE_FILES: it must be relative, without control characters, "
            "empty parts, `.` and `..`",
            code="file.path",
        )
    if parts[-1].lower().endswith(SQLITE_SIDE_FILES):
        raise StepError(
            f"{path!r} can't be used: names that end in {', '.join(SQLITE_SIDE_FILES)} belong to SQLite",
            code="file.path",
        )
    try:
        # A link in the last part isn't followed: a new file replaces the link, not its target.
        place = folder.joinpath(*parts[:-1]).resolve() / parts[-1]
    except (OSError, RuntimeError) as error:
        raise _unusable(root, path, error) from error
    if not place.is_relative_to(folder):
        raise StepError(f"{path!r} leads out of HOOKLINE_FILES through a link", code="file.path")
    return place


def _unusable(root: Path, path: str, error: Exception) -> StepError:
    return StepError(
        f"the folder {str(root)!r} (HOOKLINE_FILES), or one in {path!r}, can't be used: {error}",
        code="file.no_root",
        retryable=True,
    )
