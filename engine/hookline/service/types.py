"""What the hook is given and what it gives: a request and a reply that know no web framework."""

from collections.abc import AsyncIterator

import msgspec

from hookline.model.message import Attachment


class SenderGone(Exception):
    """The sender closed the connection; nobody waits for an answer."""


class HookRequest(msgspec.Struct, frozen=True):
    """One request to `/hook/…` or `/resume/…`."""

    method: str
    path: str
    """What follows the prefix, decoded."""
    raw_path: bytes
    """The whole path as it was received, without the query."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """As received and in order; names in lower case."""
    body: AsyncIterator[bytes]
    """Its chunks, none of them empty. Raises SenderGone."""
    client: str | None = None
    """The address of the other side of the connection."""
    http_version: str = "1.1"


class HookResponse(msgspec.Struct, frozen=True):
    """The answer. `content-length` is left to who sends it."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    file: Attachment | None = None
    """Instead of a body: what `chunks` gives."""
    chunks: AsyncIterator[bytes] | None = None
