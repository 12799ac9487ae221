"""Stored records of rejected requests, which show a sender's wrong settings."""

from datetime import datetime
from typing import Final

import msgspec

TEXT_KEPT: Final = 500
"""The most characters of a stored path or detail."""
BODY_KEPT: Final = 4096
"""The most bytes of a stored body."""


class RejectedRequest(msgspec.Struct, frozen=True):
    """A rejected request, and the reason."""

    id: str
    """Its id; ids sort by time."""
    flow_id: str
    """`-` if no flow answers at its path."""
    at: datetime
    code: str
    """The error's code, as the sender received it."""
    status: int
    detail: str
    method: str
    path: str
    """The path after `/hook/`, without the query."""
    size: int
    """The size of the body: the received bytes, or if none were read, the announced ones."""
    client: str | None = None
    """The sender's address."""
    body: bytes | None = None
    """The beginning of the body with secrets masked, if the flow asks for it."""
