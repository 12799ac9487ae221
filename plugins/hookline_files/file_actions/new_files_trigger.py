"""The trigger `file.new`."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Duration, PollContext, PollItem, PollResult, ResetsCursor, StepError, changed_items
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.folder import files_in, shown_time
from hookline_files.file_actions.root import inside, rejected, root_of

FILES: Final = 20_000
"""Files that are kept track of: each is in the cursor."""


@file_connector.poll(every="1m")
async def new(
    ctx: PollContext[None],
    cursor: Any,
    folder: Annotated[
        str,
        ResetsCursor(),
        Field(description="Which folder, under the server's HOOKLINE_FILES; by default that itself."),
    ] = "",
    pattern: Annotated[
        str, ResetsCursor(), Field(min_length=1, description="The names that count, such as `*.csv`.")
    ] = "*",
    recursive: Annotated[bool, ResetsCursor(), Field(description="Whether folders within it count, too.")] = False,
    settled: Annotated[
        Duration, Field(description="How long a file has to be unchanged: what is still being written doesn't count.")
    ] = timedelta(seconds=5),
) -> PollResult:
    """Starts an execution for each new or changed file of a folder.

    The message's body is `path` (as `file.read` takes it), `name`, `size` and `modified_at`. Links don't count, nor do
    names that begin with a dot unless the pattern does, too. At most 20,000 files of a folder may match.
    """
    place = inside(ctx, folder) if folder else root_of(ctx)
    try:
        # A file that is being written when the poll begins exists; it changes once more, and is new then.
        until = None if ctx.baseline else ctx.now - settled
        found = await asyncio.to_thread(_listed, place, folder, pattern, recursive, until)
    except OSError as error:
        raise rejected(folder or ".", error) from error
    return changed_items(found, cursor, baseline=ctx.baseline)


def _listed(place: Path, folder: str, pattern: str, recursive: bool, until: datetime | None) -> list[PollItem]:
    """The files that have not changed after a time, if one is given; those that changed longest ago first."""
    found: list[tuple[datetime, str, int]] = []
    for path, status in files_in(place, folder, pattern, recursive):
        if len(found) == FILES:
            raise StepError(
                f"folder {folder or '.'!r} has more than {FILES} files that match {pattern!r}; "
                "move away those that are done, or narrow the pattern",
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
