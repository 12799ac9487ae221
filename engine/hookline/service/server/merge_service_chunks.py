"""A body in chunks as bytes: where it ends (RFC 9112, 7.1)."""

import re
from typing import Final

from hookline.kernel.errors import Malformed
from hookline.service.server.request_head import FIELDS, TOKEN

LONE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
"""A carriage return or a line feed without the other; the last byte may be the half of a pair."""

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*\r\n" % (TOKEN, TOKEN, _QUOTED))
_MAX_SIZE_LINE: Final = 1024
_MAX_TRAILER: Final = 8192


class Chunks:
    """Follows one body through the pieces in which it comes."""

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        """Bytes of the chunk that are to come."""
        self._ending = False
        """The line end after a chunk is due."""
        self._trailing = False
        """The chunk of size 0 has come."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What the server may read now, and what follows the body; None before its end. Raises Malformed.

        Trailers end here: nothing reads them, and a server could take them for headers.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        at = 0
        while not self._trailing:
            at = self._skip_chunk(data, at)
            if self._left or self._ending:
                break
            end = data.find(b"\r\n", at, at + _MAX_SIZE_LINE)
            if end < 0:
                if len(data) - at >= _MAX_SIZE_LINE or LONE_LINE_END.search(data, at):
                    raise Malformed("the size of a chunk does not end in CR and LF")
                break
            size = _SIZE.fullmatch(data, at, end + 2)
            if size is None:
                raise Malformed("the size of a chunk is not a hexadecimal number")
            at = end + 2
            self._left = int(size[1], 16)
            self._trailing = not self._left
        if self._trailing:
            return self._end(data, at)
        self._held = data[at:]
        return data[:at], None

    def _skip_chunk(self, data: bytes, at: int) -> int:
        if self._left:
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            self._ending = not self._left
        if self._ending:
            end = data[at : at + 2]
            if not b"\r\n".startswith(end):
                raise Malformed("a chunk is longer than its size says")
            if len(end) == 2:
                self._ending = False
                at += 2
        return at

    def _end(self, data: bytes, at: int) -> tuple[bytes, bytes | None]:
        if data.startswith(b"\r\n", at):
            return data[: at + 2], data[at + 2 :]
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > _MAX_TRAILER or LONE_LINE_END.search(data, at):
                raise Malformed("the trailers are too long, or do not end in CR and LF")
            self._held = data[at:]
            return data[:at], None
        if end - at > _MAX_TRAILER or FIELDS.fullmatch(data, at, end + 4) is None:
            raise Malformed("the trailers are too long, or no headers")
        return data[:at] + b"\r\n", data[end + 4 :]
