"""Where each request of a connection begins and ends, judged before a server reads it.

Hypercorn and uvicorn have parsers of their own, which don't agree in all that they take. Where a proxy before them and
they, or the two, read one stream of bytes differently, a second request can hide in the first. So neither is given a
byte that isn't plain, and one request at a time.
"""

import re
from enum import Enum, auto
from typing import Final

from hookline.kernel.errors import HeadTooLarge, Malformed
from hookline.service.server.request_head import FIELDS, TOKEN, judge_head

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


_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class _Due(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    NOTHING = auto()


class Framing:
    """Follows one connection. What it is fed comes out as the server is to read it, one request at a time."""

    def __init__(self, max_head: int, *, http2: bool = False) -> None:
        """`max_head`: bytes. `http2`: the connection may begin with HTTP/2."""
        self._max_head = max_head
        self._may_be_http2 = http2
        self._due = _Due.HEAD
        self._held = b""
        self._searched = 0
        self._left = 0
        self._chunks = Chunks()
        self._last = False
        self.http2 = False
        """HTTP/2 is spoken, and all is passed on."""
        self.under_way = False
        """A part of a request was passed on, and not its end."""
        self.rest = b""
        """What came after the end of the request; to be fed once that is answered."""

    def feed(self, data: bytes) -> bytes:
        """What the server may read now. Raises Malformed, MethodUnknown and HeadTooLarge; the connection then ends."""
        self.rest = b""
        if self.http2:
            return data
        if self._due is _Due.HEAD:
            return self._read_head(data)
        passed = self._read_body(data)
        self.under_way = self._due in (_Due.LENGTH, _Due.CHUNKS)
        return passed

    def _read_head(self, data: bytes) -> bytes:
        data = self._held + data
        if self._may_be_http2 and _PREFACE.startswith(data[: len(_PREFACE)]):
            self.http2 = len(data) >= len(_PREFACE)
            self._held = b"" if self.http2 else data
            return data if self.http2 else b""
        # An empty line before a request is passed over: some senders end a body with one (RFC 9112, 2.2).
        start = 2 if data.startswith(b"\r\n") else 0
        end = data.find(b"\r\n\r\n", max(start, self._searched))
        if (end if end >= 0 else len(data)) - start > self._max_head:
            raise HeadTooLarge(f"the head is larger than {self._max_head} bytes")
        if end < 0:
            self._check_beginning(data, start)
            self._held = data
            self._searched = max(0, len(data) - 3)
            return b""
        head = judge_head(data[start : end + 4])
        self._held, self._searched = b"", 0
        self._may_be_http2 = False
        self._last = head.last
        if head.length is None:
            self._due, self._chunks = _Due.CHUNKS, Chunks()
        else:
            self._due, self._left = _Due.LENGTH, head.length
        body = self._read_body(data[end + 4 :])
        self.under_way = self._due in (_Due.LENGTH, _Due.CHUNKS)
        return head.data + body

    def _check_beginning(self, data: bytes, start: int) -> None:
        """What can't become a head is told so at once."""
        if data[start : start + 1] <= b" " and len(data) > start and data != b"\r":
            raise Malformed("the request does not begin with a method")
        if LONE_LINE_END.search(data, self._searched):
            raise Malformed("a line of the head does not end in CR and LF")

    def _read_body(self, data: bytes) -> bytes:
        rest: bytes | None
        if self._due is _Due.NOTHING:
            return b""
        if self._due is _Due.CHUNKS:
            passed, rest = self._chunks.feed(data)
        else:
            passed = data[: self._left]
            self._left -= len(passed)
            rest = None if self._left else data[len(passed) :]
        if rest is not None:
            self._due = _Due.NOTHING if self._last else _Due.HEAD
            self.rest = b"" if self._last else rest
        return passed
