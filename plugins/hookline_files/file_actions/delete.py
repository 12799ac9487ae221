"""The action `file.delete`."""

import asyncio
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hookline.api import Context, JsonValue, Reach
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.root import inside, rejected, sync_folder


@file_connector.action(idempotent=True)
async def delete(
    ctx: Context[None],
    path: Annotated[str, Reach("file"), Field(description="The path of the file, under the server's HOOKLINE_FILES.")],
) -> dict[str, JsonValue]:
    """Delete a file.

    The result is `path` and `deleted`, which is false if there was no file. A folder is not deleted.
    """
    place = inside(ctx, path)
    try:
        deleted = await asyncio.to_thread(_remove, place)
    except OSError as error:
        raise rejected(path, error) from error
    return {"path": path, "deleted": deleted}


def _remove(place: Path) -> bool:
    try:
        place.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    sync_folder(place.parent)
    return True
