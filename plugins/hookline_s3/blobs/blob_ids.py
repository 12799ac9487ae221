"""Ids of blobs in a bucket: they begin with a time, so that old blobs are listed first.

A bucket has no time that can be set, and for an upload in parts, even Amazon's own time is that of its beginning. So an
id says how its blob was written. If it was written at once, the time is that of the commit. If it was written in parts,
the time is that of the beginning, and the commit came within `LONGEST`.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Final

LONGEST: Final = timedelta(hours=24)
"""The longest time for an upload in parts: after a longer one, the blob could be swept before it is used."""

_ID: Final = re.compile(r"[0-9a-f]{12}[01][0-9a-f]{19}")
_IN_PARTS: Final = "1"


def new_id(at: datetime, *, in_parts: bool) -> str:
    """An id that nobody can guess."""
    return f"{_milliseconds(at):012x}{int(in_parts)}{secrets.token_hex(10)[:19]}"


def is_id(text: str) -> bool:
    """Return true if a text is the id of a blob."""
    return _ID.fullmatch(text) is not None


def began_before(blob_id: str, at: datetime) -> bool:
    """Return true if a blob was begun before a time. If one wasn't, then none that is listed after it was."""
    return int(blob_id[:12], 16) < _milliseconds(at)


def committed_before(blob_id: str, at: datetime) -> bool:
    """Return true if a blob was certainly committed before a time."""
    return began_before(blob_id, at - LONGEST if blob_id[12] == _IN_PARTS else at)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
