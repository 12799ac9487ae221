"""Reading headers. The sender may be anybody: a header that can't be read is NotVerified, and no other error."""

import re
from base64 import b64decode
from datetime import datetime
from typing import Final

from hookline.api import NotVerified, SignedRequest

_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_ID: Final = re.compile(r"[!-~]{1,200}")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def required(request: SignedRequest, name: str) -> str:
    """The only value of a header, which isn't empty. Raises NotVerified."""
    value = request.header(name)
    if not value:
        raise NotVerified(f"the header {name} is empty" if value == "" else f"there is no header {name}")
    return value


def message_id(request: SignedRequest, name: str) -> str | None:
    """The id in a header; None if there is none. Raises NotVerified if it can't be an id."""
    value = request.header(name)
    if value is not None:
        check_id(value, name)
    return value


def check_id(value: str, what: str) -> None:
    """Raise NotVerified unless a text can be a message's id."""
    if not _ID.fullmatch(value):
        raise NotVerified(f"{what} isn't an id of at most 200 visible characters of ASCII")


def as_received(text: str) -> bytes:
    """The bytes of a header as they were sent and signed."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise NotVerified("a header has characters that no header can have") from None


def from_hex(text: str) -> bytes:
    """The bytes that hex digits stand for; none if the text is anything else."""
    return bytes.fromhex(text) if len(text) % 2 == 0 and _HEX.fullmatch(text) else b""


def from_base64(text: str) -> bytes:
    """The bytes that base64 stands for, padded or not; none if the text is anything else."""
    if not _BASE64.fullmatch(text):
        return b""
    bare = text.rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return b""


def rfc3339_time(text: str) -> datetime:
    """The time that a text in the format of RFC 3339 stands for. Raises NotVerified for any other text."""
    wrong = NotVerified("the time of sending isn't one of RFC 3339 with its time zone")
    if not _RFC3339.fullmatch(text):
        raise wrong
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise wrong from None
