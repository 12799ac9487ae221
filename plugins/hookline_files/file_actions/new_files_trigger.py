"""The trigger `file.new`."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Duration, PollContext, PollItem, PollResult, Reach, ResetsCursor, StepError, changed_items
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.folder_listing import files_in, shown_time, warn_of_left_out
from hookline_files.file_actions.root import inside, rejected, root_of

FILES: Final = 20_000
"""The most files that are tracked: each is in the cursor."""


@file_connector.poll(every="1m")
async def new(
    ctx: PollContext[None],
    cursor: Any,
    folder: Annotated[
        str,
        Reach("file"),
        ResetsCursor(),
        Field(description="The folder, under the server's HOOKLINE_FILES; by default HOOKLINE_FILES itself."),
    ] = "",
    pattern: Annotated[
        str,
        Reach("pattern"),
        ResetsCursor(),
        Field(min_length=1, description="The pattern of the names to watch, such as `*.csv`."),
    ] = "*",
    recursive: Annotated[bool, ResetsCursor(), Field(description="Also watch the files in subfolders.")] = False,
    settled: Annotated[
        Duration,
        Field(
            description="The time for which a file has to be unchanged, so that files that are still being written "
            "are not read."
        ),
    ] = timedelta(seconds=5),
) -> PollResult:
    """Starts an execution for each new or changed file of a folder.

    The message's body is `path` (for `file.read`), `name`, `size` and `modified_at`. Links are left out, and so are
    names that aren't UTF-8, and names that begin with a dot, unless the pattern begins with one too. At most 20,000
    files of a folder may match.
    """
    place, left_out = inside(ctx, folder) if folder else root_of(ctx), list[str]()
    try:
        # A file that is being written at the first poll counts as existing; when it changes again, it is new.
        until = None if ctx.baseline else ctx.now - settled
        found = await asyncio.to_thread(_listed, place, folder, pattern, recursive, until, left_out)
    except OSError as error:
        raise rejected(folder or ".", error) from error
    warn_of_left_out(ctx.log, left_out)
    return changed_items(found, cursor, baseline=ctx.baseline)


def _listed(
    place: Path, folder: str, pattern: str, recursive: bool, until: datetime | None, left_out: list[str]
) -> list[PollItem]:
    """Return the files that have not changed after a time, if one is given; the oldest change first."""
    found: list[tuple[datetime, str, int]] = []
    for path, status in files_in(place, folder, pattern, recursive, left_out):
        if len(found) == FILES:
            raise StepError(
                f"folder {folder or '.'!r} has more than {FILES} files that match {pattern!r}; "
                "move processed files away, or use a narrower pattern",
                code="file.too_many",
            )
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        if until is None or modified <= until:
            found.append((modified, path, status.st_size))
    return [
        PollItem(
            path, {"path": path, "name": path.rpartition("/")[2], "size": size, "modified_at": shown_time(modified)}
        )
        for modified, path, size in sorted(found)
    ]
