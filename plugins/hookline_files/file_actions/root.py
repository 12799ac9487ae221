"""The folder for files, which no path in a message can leave."""

import errno
import os
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from hookline.api import Context, PollContext, StepError

#: Errors that may be gone when the step is retried: a full disk, a volume that isn't mounted, too many open files.
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT}
)


def inside(ctx: Context[Any] | PollContext[Any], path: str) -> Path:
    """Return the place of a path under the folder for files, with links resolved. Raises StepError if it is outside.

    A person who can create links in that folder while a step runs is trusted, because the files are accessible anyway.
    """
    if ctx.files_root is None:
        raise StepError(
            "this server has no folder for files; set HOOKLINE_FILES to a folder that file steps may use",
            code="file.no_root",
        )
    parts = path.split("/")
    if any(category(letter) in ("Cc", "Cs") for letter in path) or any(part in ("", ".", "..") for part in parts):
        raise StepError(
            f"{path!r} is not a path of a file under HOOKLINE_FILES: it must be relative, without control characters, "
            "empty parts, `.` and `..`",
            code="file.path",
        )
    try:
        root = ctx.files_root.resolve(strict=True)
        # A link in the last part isn't followed: a new file replaces the link, not its target.
        place = root.joinpath(*parts[:-1]).resolve() / parts[-1]
    except (OSError, RuntimeError) as error:
        raise StepError(
            f"the folder {str(ctx.files_root)!r} (HOOKLINE_FILES), or one in {path!r}, can't be used: {error}",
            code="file.no_root",
            retryable=True,
        ) from error
    if not place.is_relative_to(root):
        raise StepError(f"{path!r} leads out of HOOKLINE_FILES through a link", code="file.path")
    return place


def root_of(ctx: Context[Any] | PollContext[Any]) -> Path:
    """Return the folder for files. Raises StepError if there is none."""
    # Any name is under it.
    return inside(ctx, "file").parent


def sync_folder(folder: Path) -> None:
    """Make the list of a folder's files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rejected(path: str, error: OSError) -> StepError:
    """Convert an error of the operating system to the step's error."""
    return StepError(f"{path!r}: {error.strerror or error}", code="file.system", retryable=error.errno in _PASSING)
