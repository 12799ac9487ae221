"""Where each request of a connection begins and ends, judged before a server reads it.

Hypercorn and uvicorn have parsers of their own, which don't agree in all that they take. Where a proxy before them and
they, or the two, read one stream of bytes differently, a second request can hide in the first. So neither is given a
byte that isn't plain, and one request at a time.
"""

from enum import Enum, auto
from typing import Final

from hookline.kernel.errors import HeadTooLarge, Malformed
from hookline.service.server.merge_service_chunks import LONE_LINE_END, Chunks
from hookline.service.server.request_head import judge_head

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
