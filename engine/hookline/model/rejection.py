"""What is kept of a request that was rejected, so that a sender's wrong setting is found."""

from datetime import datetime
from typing import Final

import msgspec

TEXT_KEPT: Final = 500
"""Characters of a path or a detail."""
BODY_KEPT: Final = 4096
"""Bytes of a body."""


class RejectedRequest(msgspec.Struct, frozen=True):
    """A request that started nothing, and why."""

    id: str
    """Sorts by time."""
    flow_id: str
    """`-` where no flow answers at its path."""
    at: datetime
    code: str
    """The error's code, as the sender was told it."""
    status: int
    detail: str
    method: str
    path: str
    """What followed `/hook/`, without the query."""
    size: int
    """Bytes of the body: those that came, or those that were announced where none was read."""
    client: str | None = None
    """The address that sent it."""
    body: bytes | None = None
    """The beginning of the body, secrets masked, where the flow asks for it."""
