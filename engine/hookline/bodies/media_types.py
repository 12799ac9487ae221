"""Media types, and the body mode that each asks for."""

from functools import lru_cache
from typing import Final, Literal

import msgspec
from python_multipart.multipart import parse_options_header

from hookline.model.webhook import BodyMode

MediaKind = Literal["json", "xml", "properties", "multipart", "text", "file", "query"]

OCTET_STREAM: Final = "application/octet-stream"
_NAMED: Final[dict[str, MediaKind]] = {
    "application/json": "json",
    "text/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/x-www-form-urlencoded": "properties",
    "multipart/form-data": "multipart",
}


class Media(msgspec.Struct, frozen=True):
    """A parsed media type."""

    type: str
    """The type in lower case, without parameters."""
    kind: MediaKind
    charset: str | None = None
    boundary: bytes | None = None
    said: bool = True
    """False if the request names no type."""


QUERY: Final = Media("application/x-www-form-urlencoded", "query")
"""The body mode in which the URL's query is the body."""


def _kind(media_type: str) -> MediaKind:
    if media_type in _NAMED:
        return _NAMED[media_type]
    if media_type.endswith("+json"):
        return "json"
    if media_type.endswith("+xml"):
        return "xml"
    return "text" if media_type.startswith("text/") else "file"


#: The body modes that a flow can demand for any media type.
_SAID_BY_FLOW: Final[dict[BodyMode, MediaKind]] = {"json": "json", "text": "text", "raw": "file"}


@lru_cache(256)
def read_media(content_type: str | None, mode: BodyMode = "auto") -> Media:
    """Parse a Content-Type header; a body without one is a file. Never fails."""
    name, options = parse_options_header(content_type)
    media_type = name.decode("latin-1").strip() or OCTET_STREAM
    charset = options.get(b"charset")
    return Media(
        type=media_type,
        kind=_SAID_BY_FLOW.get(mode) or _kind(media_type),
        charset=charset.decode("latin-1").strip() if charset else None,
        boundary=options.get(b"boundary"),
        said=bool(name),
    )
