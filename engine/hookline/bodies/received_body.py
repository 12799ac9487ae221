"""The body of a request as it was received, whatever its format."""

from typing import Any

import msgspec

from hookline.model.message import Attachment


class Received(msgspec.Struct, frozen=True):
    """A decoded request body."""

    body: Any = None
    """A JSON value."""
    json: bytes | None = None
    """The body as JSON text, if it was received as JSON."""
    raw: bytes | None = None
    """The received bytes, if they are neither `json` nor an attachment."""
    attachments: tuple[Attachment, ...] = ()
