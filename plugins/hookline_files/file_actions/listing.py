"""The actions `file.list` and `file.exists`."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reach, StepError
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.folder_listing import files_in, shown_time, warn_of_left_out
from hookline_files.file_actions.root import inside, rejected, root_of


@file_connector.action(name="list", idempotent=True)
async def list_files(
    ctx: Context[None],
    folder: Annotated[
        str,
        Reach("file"),
        Field(description="The folder, under the server's HOOKLINE_FILES; by default HOOKLINE_FILES itself."),
    ] = "",
    pattern: Annotated[
        str, Reach("pattern"), Field(min_length=1, description="The pattern of the names to list, such as `*.csv`.")
    ] = "*",
    recursive: Annotated[bool, Field(description="Also list the files in subfolders.")] = False,
    max_files: Annotated[
        int, Field(ge=1, le=100_000, description="The maximum number of files; more are an error.")
    ] = 10_000,
) -> list[dict[str, JsonValue]]:
    """List the files of a folder.

    The result is a list, ordered by path, of `path` (for `file.read`), `name`, `size` and `modified_at`. Links are left
    out, and so are names that aren't UTF-8, and names that begin with a dot, unless the pattern begins with one too.
    """
    place, left_out = inside(ctx, folder) if folder else root_of(ctx), list[str]()

    def listed() -> list[dict[str, JsonValue]]:
        found: list[dict[str, JsonValue]] = []
        for path, status in files_in(place, folder, pattern, recursive, left_out):
            if len(found) == max_files:
                raise StepError(
                    f"folder {folder or '.'!r} has more than {max_files} files that match {pattern!r}; use a narrower "
                    "pattern, or raise `max_files`",
                    code="file.too_many",
                )
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            found.append(
                {
                    "path": path,
                    "name": path.rpartition("/")[2],
                    "size": status.st_size,
                    "modified_at": shown_time(modified),
                }
            )
        return sorted(found, key=lambda one: str(one["path"]))

    try:
        found = await asyncio.to_thread(listed)
    except OSError as error:
        raise rejected(folder or ".", error) from error
    warn_of_left_out(ctx.log, left_out)
    return found


@file_connector.action(idempotent=True)
async def exists(
    ctx: Context[None],
    path: Annotated[str, Reach("file"), Field(description="The path of the file, under the server's HOOKLINE_FILES.")],
) -> dict[str, JsonValue]:
    """Check if a file exists.

    The result is `{"exists": …}`, and for a file that exists, its `size` and `modified_at`. Folders and links don't
    count as files.
    """
    try:
        status = await asyncio.to_thread(_status, inside(ctx, path))
    except OSError as error:
        raise rejected(path, error) from error
    if status is None or not S_ISREG(status.st_mode):
        return {"exists": False}
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return {"exists": True, "size": status.st_size, "modified_at": shown_time(modified)}


def _status(place: Path) -> Any:
    try:
        return place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
