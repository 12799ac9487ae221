"""The folder for files, which no path in a message can leave."""

import errno
import os
from pathlib import Path
from typing import Any, Final

from hookline.api import Context, PollContext, StepError, file_place

#: Errors that may be gone when the step is retried: a full disk, a volume that isn't mounted, too many open files.
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT}
)


def inside(ctx: Context[Any] | PollContext[Any], path: str) -> Path:
    """Return the place of a path under the folder for files: see `file_place`."""
    return file_place(ctx.files_root, path)


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
