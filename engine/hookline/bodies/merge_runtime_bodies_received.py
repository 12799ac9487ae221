"""A body that has been read."""

from typing import Any

import msgspec

from hookline.model.message import Attachment


class Received(msgspec.Struct, frozen=True):
    """What a request's body became."""

    body: Any = None
    """A JSON value."""
    json: bytes | None = None
    """The body as JSON text, where it came as such."""
    raw: bytes | None = None
    """The bytes on the wire, where they are neither `json` nor an attachment."""
    attachments: tuple[Attachment, ...] = ()
