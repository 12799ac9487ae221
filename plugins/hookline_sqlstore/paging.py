"""Pages of lists in the order of ids, and their cursors."""

import uuid
from collections.abc import Sequence
from typing import Any


def id_of(cursor: str) -> str:
    """Return the id in a cursor. Raises ValueError for an invalid cursor."""
    try:
        valid = str(uuid.UUID(cursor)) == cursor
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{cursor!r} is not a cursor: pass the `next` of the page before")
    return cursor


def page(found: Sequence[Any], limit: int) -> tuple[tuple[Any, ...], str | None]:
    """The items of a page, and the id after which the next begins."""
    return tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None
