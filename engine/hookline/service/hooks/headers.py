"""A request's headers, and whether they say without doubt where its body ends."""

from typing import Final

import msgspec

from hookline.kernel.errors import Malformed
from hookline.service.hooks.masking import masked
from hookline.service.types import HookRequest

_HTTP_VERSIONS: Final = ("1.1", "2", "1.0", "3")


class Headers(msgspec.Struct, frozen=True):
    """Names in lower case; bytes above 127 as Latin-1."""

    received: tuple[tuple[str, str], ...]
    """As received and in order."""
    joined: dict[str, str]
    """By name; those that repeat are one text joined by `, `."""

    def without(self, secret: frozenset[str]) -> "Headers":
        """The same, with the values of some masked."""
        if not any(name in secret for name in self.joined):
            return self
        return _join(masked(self.received, secret))


def read_headers(request: HookRequest) -> Headers:
    """A request's headers."""
    return _join(tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]))


def _join(received: tuple[tuple[str, str], ...]) -> Headers:
    joined: dict[str, str] = {}
    for name, value in received:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Headers(received, joined)


def check_framing(http_version: str, headers: dict[str, str]) -> None:
    """Where two servers could disagree about where a body ends, a second request could hide in it. Raises Malformed."""
    if http_version not in _HTTP_VERSIONS:
        raise _bad_framing("this version of HTTP is not spoken here")
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None and length is not None:
        raise _bad_framing("Content-Length and Transfer-Encoding are both given")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise _bad_framing("Content-Length is not one number")
    if coding is not None and coding.strip().lower() != "chunked":
        raise _bad_framing("Transfer-Encoding is not chunked")


def _bad_framing(message: str) -> Malformed:
    return Malformed(message, headers=[("connection", "close")])
