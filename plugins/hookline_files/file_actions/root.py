"""The folder that files stay in, whatever path a message brings along."""

import errno
import os
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from hookline.api import Context, PollContext, StepError

#: What may be over when the step is tried again: a full disk, a volume that isn't mounted, too many open files.
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT}
)


def inside(ctx: Context[Any] | PollContext[Any], path: str) -> Path:
    """The place of a path under the folder for files, links resolved. Raises StepError where it isn't under it.

    Somebody who can make links in that folder while a step runs is trusted: he has the files already.
    """
    if ctx.files_root is None:
        raise StepError(
            "this server gives no folder for files; set HOOKLINE_FILES to the folder that file steps may use",
            code="file.no_root",
        )
    parts = path.split("/")
    if any(category(letter) in ("Cc", "Cs") for letter in path) or any(part in ("", ".", "..") for part in parts):
        raise StepError(
            f"{path!r} is no path of a file under HOOKLINE_FILES: it is relative, "
            "without control characters, empty parts, `.` and `..`",
            code="file.path",
        )
    try:
        root = ctx.files_root.resolve(strict=True)
        # The last part isn't followed: a file that takes a link's place leaves alone what the link names.
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
    """The folder for files itself. Raises StepError where there is none."""
    # Any name stands under it.
    return inside(ctx, "file").parent


def sync_folder(folder: Path) -> None:
    """Make durable which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rejected(path: str, error: OSError) -> StepError:
    """Convert an error of the operating system to the step's error."""
    return StepError(f"{path!r}: {error.strerror or error}", code="file.system", retryable=error.errno in _PASSING)
