"""The answer of a flow to the caller that waits for it."""

from typing import Any

import msgspec

from hookline.model.message import Attachment


class CallerReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer: what an action returns to give one, and what the journal keeps of it."""

    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    """A JSON value; a text goes out as it is."""
    attachment: Attachment | None = None
    """Instead of a body: a file of the message."""
    delivered: bool = False
    """Whether a caller was waiting for it."""
