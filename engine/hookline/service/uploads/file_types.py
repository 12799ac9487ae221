"""Checking the types of files, if a flow restricts them.

A sender may declare any type. If a flow accepts only images, a file that is declared an image has to begin as one: the
first bytes tell this for about eighty formats. Other formats are not checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import filetype  # type: ignore[import-untyped]  # it ships no types

from hookline.bodies.media_types import OCTET_STREAM, read_media
from hookline.kernel.errors import UnsupportedMedia
from hookline.model.webhook import takes

HEAD: Final = 8192
"""Bytes at the beginning of a file by which its type is checked."""

#: Other names of a format, in browsers and on Windows.
_ALIASES: Final[Mapping[str, str]] = {
    "application/font-sfnt": "font/otf",
    "application/font-woff": "font/woff",
    "application/x-apple-diskimage": OCTET_STREAM,
    "application/x-bzip": "application/x-bzip2",
    "application/x-dosexec": "application/x-msdownload",
    "application/x-font-ttf": "font/otf",
    "application/x-gzip": "application/gzip",
    "application/x-pdf": "application/pdf",
    "application/x-rar": "application/x-rar-compressed",
    "application/vnd.rar": "application/x-rar-compressed",
    "application/vnd.microsoft.portable-executable": "application/x-msdownload",
    "application/vnd.sqlite3": "application/x-sqlite3",
    "application/x-zip": "application/zip",
    "application/x-zip-compressed": "application/zip",
    "application/x-zstd": "application/zstd",
    "audio/flac": "audio/x-flac",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/x-wav",
    "audio/wav": "audio/x-wav",
    "audio/wave": "audio/x-wav",
    "audio/x-m4a": "audio/mp4",
    "font/ttf": "font/otf",
    "font/woff2": "font/woff",
    "image/heif": "image/heic",
    "image/jp2": "image/jpx",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/tif": "image/tiff",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
    "text/rtf": "application/rtf",
    "video/avi": "video/x-msvideo",
}
#: Formats in one kind of container: the first bytes don't always tell them apart.
_FAMILIES: Final = (
    frozenset({"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"}),
    frozenset({"video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp", "audio/mp4"}),
    frozenset({"video/webm", "video/x-matroska", "audio/webm", "audio/x-matroska"}),
    frozenset({"audio/ogg", "video/ogg", "application/ogg", "audio/opus"}),
    frozenset({"video/x-ms-wmv", "video/x-ms-asf", "audio/x-ms-wma"}),
    frozenset({"image/heic", "image/avif"}),
    frozenset({"image/png", "image/apng"}),
    frozenset({"image/tiff", "image/x-canon-cr2"}),
)
#: Containers of formats beyond those known here.
_CONTAINERS: Final = frozenset(
    {"application/zip", "application/gzip", "application/msword", "application/x-tar", "video/mp4", "image/tiff"}
)
#: Characters that no text has; an escape is one that some have.
_NO_TEXT: Final = bytes(range(0x20)).translate(None, b"\t\n\v\f\r\x1b")


def _one_name(media_type: str) -> str:
    return _ALIASES.get(media_type, media_type)


#: The formats that the first bytes would show.
_KNOWN: Final = frozenset(_one_name(kind.mime) for kind in filetype.types) - {OCTET_STREAM}


@dataclass(frozen=True, slots=True)
class FileTypes:
    """The types of files that a flow accepts."""

    taken: tuple[str, ...]
    """As in `image/png`, `image/*`."""

    def check_declared(self, media_type: str, what: str) -> None:
        """Raise UnsupportedMedia if the flow doesn't accept the declared type. A general one is accepted."""
        if media_type != OCTET_STREAM and not takes(self.taken, media_type):
            raise UnsupportedMedia(f"the flow takes {', '.join(self.taken)}; {what} is {media_type[:100]}")

    def judge(self, media_type: str, head: bytes, what: str) -> str:
        """Return the type of a file by its declared type and its first bytes. Raises UnsupportedMedia."""
        self.check_declared(media_type, what)
        found = detect_type(head)
        if media_type != OCTET_STREAM:
            if not is_plausible(media_type, found, head):
                raise UnsupportedMedia(f"{what} is declared as {media_type[:100]}, but is {found or 'something else'}")
            return media_type
        if takes(self.taken, OCTET_STREAM):
            return media_type
        if found is None or not takes(self.taken, found):
            raise UnsupportedMedia(
                f"the flow takes {', '.join(self.taken)}; {what} declares no type, and is {found or 'of no known type'}"
            )
        return found


def detect_type(head: bytes) -> str | None:
    """The type that the first bytes of a file show, or None."""
    kind = filetype.guess(head)
    return None if kind is None or kind.mime == OCTET_STREAM else str(kind.mime)


def is_plausible(media_type: str, found: str | None, head: bytes) -> bool:
    """True if a file can be of its declared type."""
    declared = _one_name(media_type)
    shown = None if found is None else _one_name(found)
    if declared == shown:
        return True
    if declared not in _KNOWN and read_media(declared).kind in ("text", "json", "xml", "properties"):
        # Two letters of a text can look like the mark of a format, so the text itself is checked.
        return shown != "application/pdf" and _is_text(head)
    if shown is None:
        return declared not in _KNOWN
    if any({declared, shown} <= family for family in _FAMILIES):
        return True
    return shown in _CONTAINERS and declared not in _KNOWN


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    return len(head) == len(head.translate(None, _NO_TEXT))
