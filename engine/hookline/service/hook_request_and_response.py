"""Requests and responses of the hook, independent of any web framework."""

from collections.abc import AsyncIterator

import msgspec

from hookline.model.message import Attachment


class SenderGone(Exception):
    """The sender closed the connection and doesn't wait for a response."""


class HookRequest(msgspec.Struct, frozen=True):
    """A request to `/hook/…`, `/resume/…` or `/oauth/…`."""

    method: str
    path: str
    """The path after the prefix, decoded."""
    raw_path: bytes
    """The whole path as received, without the query."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """The headers as received and in order; names in lower case."""
    body: AsyncIterator[bytes]
    """The chunks of the body, none of them empty. Raises SenderGone."""
    client: str | None = None
    """The address of the other side of the connection."""
    http_version: str = "1.1"


class HookResponse(msgspec.Struct, frozen=True):
    """A response. The server adds `content-length`."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    file: Attachment | None = None
    """A file in place of the body; `chunks` are its bytes."""
    chunks: AsyncIterator[bytes] | None = None
