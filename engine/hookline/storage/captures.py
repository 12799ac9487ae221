"""Captures: the requests that come to the URL of a flow for some minutes, whether the flow exists or not.

They are kept apart from the history, and only for an hour: an author looks at them to build or to repair a flow.
"""

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from hookline.model.access import Actor

CAPTURE_TIME: Final = timedelta(minutes=10)
"""The time for which a capture is open."""
CAPTURED_KEPT: Final = timedelta(hours=1)
"""The time for which a captured request is kept."""
MAX_CAPTURED: Final = 50
"""The most requests of a capture, the newest."""
MAX_CAPTURES: Final = 50
"""The most captures, open or not."""
BODY_CAPTURED: Final = 64 * 1024
"""The most bytes of a captured body."""

CaptureResult: TypeAlias = Literal["captured", "accepted", "duplicate", "rejected", "answered"]
"""`captured` if there was no flow, `answered` for a handshake or a request without a message."""


class Capture(msgspec.Struct, frozen=True):
    """A capture of the requests to one flow's URL; there is at most one for each flow."""

    flow_id: str
    opened_at: datetime
    expires_at: datetime
    """It is open until then."""
    by: Actor
    requests: int = 0
    """The number of requests that it has kept, when it was read."""


class CapturedInfo(msgspec.Struct, frozen=True):
    """The facts about a captured request, besides its headers, query and body."""

    id: str
    """Ids sort by time."""
    flow_id: str
    at: datetime
    method: str
    path: str
    """The path after `/hook/`, without the query."""
    client: str | None
    content_type: str | None
    size: int
    """The bytes of the body that were received, or else announced."""
    result: CaptureResult
    status: int
    """The status of the response."""
    code: str | None = None
    """The code of the error, if it was rejected."""
    reason: str | None = None
    """The reason of a rejection, as far as it is known."""
    execution_id: str | None = None


class CapturedRequest(msgspec.Struct, frozen=True):
    """A captured request, with secrets masked."""

    info: CapturedInfo
    headers: tuple[tuple[str, str], ...]
    """In their order; names in lower case."""
    query: str
    body: bytes | None
    """None if it is left out."""
    left_out: str | None = None
    """The reason why there is no body."""
