"""The framing of requests: the bytes of each request are checked before a server reads them.

Hypercorn and uvicorn have parsers of their own, which accept different things. If two parsers, or a proxy in front and
a parser, read the same bytes differently, a second request can hide in the first (request smuggling). So the servers
only get unambiguous bytes, one request at a time. The rules are stricter than those of either parser (RFC 9110 and
9112); `docs/discussion/framing.md` lists what is rejected, and why.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from hookline.kernel.errors import HeadTooLarge, Malformed, MethodUnknown

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"))
ORIGIN_FORM: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
"""A path and a query: visible characters, without a fragment."""

_FIELD: Final = rb"%b:[\t\x20-\x7e\x80-\xff]*+\r\n" % TOKEN
FIELDS: Final = re.compile(rb"(?:%b)*+\r\n" % _FIELD)
_GOOD_FIELDS: Final = re.compile(rb"(?:%b)*+" % _FIELD)
_REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(1\.[01])(?=\r\n)" % TOKEN)
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:[\w.~%!$&'()*+;=-]*|\[[\w.:~%-]+\])(?::[0-9]*)?")
_FIELDS: Final = re.compile(rb"\r\n([^:\r]+):[\t ]*([^\r]*)")
"""The headers of a checked head."""
_TELLING: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"proxy-connection", b"expect")
)
"""The headers that decide where a request ends, and what its connection is for."""
_CHANGE_PROTOCOL: Final = frozenset((b"upgrade", b"proxy-connection"))
_DROPPED: Final = re.compile(rb"\r\n(?:upgrade|proxy-connection):[^\r]*(?=\r\n)", re.IGNORECASE)
"""Connections don't change their protocol, and one of the servers takes `Proxy-Connection` for `Connection`."""
_DROPPED_BEFORE_1_1: Final = re.compile(rb"\r\n(?:upgrade|proxy-connection|expect):[^\r]*(?=\r\n)", re.IGNORECASE)
LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_LINE_START: Final = re.compile(TOKEN + rb":")


class Head(NamedTuple):
    """An accepted head."""

    data: bytes
    """The bytes for the server: with the path instead of a whole URL, without headers that change the protocol, and
    without spaces after values, which httptools would take for a part of the value."""
    length: int | None
    """Bytes in the body; None if it comes in chunks."""
    last: bool
    """True if no other request follows on this connection."""
    expects: bool
    """True if the sender waits for `100 Continue` before it sends the body."""
    method: bytes
    target: bytes
    """The path and the query."""
    fields: list[tuple[bytes, bytes]]
    """The headers of `data` in order, with names in lower case."""


def check_head(head: bytes) -> Head:
    """Read a head, from its first byte to its empty line. Raises Malformed and MethodUnknown."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise Malformed("the first line is not a method, a path and HTTP/1.1, with one space between")
    method, target, version = line.groups()
    start = line.end()
    if FIELDS.fullmatch(head, start + 2) is None:
        raise Malformed(_fault(head[start + 2 : -2]))
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    last = version == b"1.0"
    dropped = expects = False
    fields = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELDS.findall(head, start)]
    for name, value in fields:
        if name not in _TELLING:
            continue
        match name:
            case b"host":
                hosts.append(value)
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding":
                codings.append(value)
            case b"connection":
                last = last or b"close" in [part.strip(b" \t") for part in value.lower().split(b",")]
            case b"expect":
                expects = True
                dropped = dropped or version == b"1.0"
            case _:
                dropped = True
    _check_host(hosts, version)
    length = _body_length(lengths, codings, version)
    if method not in METHODS:
        raise MethodUnknown
    path = _path(target, hosts)
    if path is not target or dropped:
        fields = [field for field in fields if field[0] not in _CHANGE_PROTOCOL]
        drop = _DROPPED_BEFORE_1_1 if version == b"1.0" else _DROPPED
        head = b"%b %b HTTP/%b%b" % (method, path, version, drop.sub(b"", head[start:]))
    if b" \r\n" in head or b"\t\r\n" in head:
        head = b"\r\n".join(part.rstrip(b" \t") for part in head.split(b"\r\n"))
    return Head(head, length, last, expects, method, path, fields)


def _check_host(hosts: list[bytes], version: bytes) -> None:
    if len(hosts) > 1:
        raise Malformed("there are several Host headers; send one")
    if not hosts:
        if version != b"1.0":
            raise Malformed("there is no Host header; send one")
    elif _HOST.fullmatch(hosts[0]) is None:
        raise Malformed("the Host header is not a name or an address, with or without a port")


def _body_length(lengths: list[bytes], codings: list[bytes], version: bytes) -> int | None:
    if codings:
        if lengths:
            raise Malformed("Content-Length and Transfer-Encoding are both given; send one of them")
        if version == b"1.0":
            raise Malformed("HTTP/1.0 has no Transfer-Encoding; send a Content-Length")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Malformed("Transfer-Encoding is not chunked; send that, or a Content-Length")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or LENGTH.fullmatch(lengths[0]) is None:
        raise Malformed("Content-Length is not one number; send it once, in digits")
    return int(lengths[0])


def _path(target: bytes, hosts: list[bytes]) -> bytes:
    """The path and the query of a request's target."""
    path = target
    whole = _ABSOLUTE_FORM.fullmatch(target)
    if whole is not None:
        if hosts and whole[1].lower() != hosts[0].lower():
            raise Malformed("the URL is of another host than the Host header says")
        path = whole[2] or b"/"
        if path.startswith(b"?"):
            path = b"/" + path
    if ORIGIN_FORM.fullmatch(path) is None:
        raise Malformed("the request target is not a path, or has a fragment")
    return path


def _fault(fields: bytes) -> str:
    """Describe the first malformed header."""
    good = _GOOD_FIELDS.match(fields)
    at = good.end() if good is not None else 0
    number = fields.count(b"\r\n", 0, at) + 1
    if fields.startswith((b" ", b"\t"), at):
        return f"header line {number} goes on from the one before; send each header in one line"
    if _LINE_START.match(fields, at) is None:
        return f"header line {number} does not begin with a name and a colon, with nothing between"
    return f"header line {number} holds a control character; send none but tabs"


LONE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
"""A carriage return or a line feed without the other; the last byte may be the first half of a pair."""

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*\r\n" % (TOKEN, TOKEN, _QUOTED))
_MAX_SIZE_LINE: Final = 1024
_MAX_TRAILER: Final = 8192


class ChunkedBody:
    """The framing of one chunked body, through the pieces in which it comes."""

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        """Bytes left in the current chunk."""
        self._ending = False
        """True if the line end after a chunk comes next."""
        self._trailing = False
        """True once the chunk of size 0 has come."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return the bytes that the server may read now, and the bytes after the body, or None before its end.

        Raises Malformed. Trailers are dropped: nothing reads them, and a server could take them for headers.
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
            raise Malformed("the trailers are too long, or malformed")
        return data[:at] + b"\r\n", data[end + 4 :]


_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Whole(NamedTuple):
    """A request that has come at once, and may be handled without a parser."""

    head: Head
    body: bytes


class _Due(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    NOTHING = auto()


class Framing:
    """The framing of one connection. It passes on what the server may read, one request at a time."""

    def __init__(self, max_head: int, *, http2: bool = False) -> None:
        """`max_head`: bytes. `http2`: the connection may begin with HTTP/2."""
        self._max_head = max_head
        self._may_be_http2 = http2
        self._due = _Due.HEAD
        self._held = b""
        self._searched = 0
        self._left = 0
        self._chunks = ChunkedBody()
        self._last = False
        self.http2 = False
        """True if the connection speaks HTTP/2; then all bytes are passed on."""
        self.under_way = False
        """True if the beginning of a request was passed on, and not its end."""
        self.rest = b""
        """The bytes after the end of the request, to be fed after the response."""
        self.whole: Whole | None = None
        """The request whose bytes were just passed on, if they are all of it, nothing is to be decoded or sent before
        the response, and the connection stays open."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that the server may read now.

        Raises Malformed, MethodUnknown and HeadTooLarge; then the connection ends.
        """
        self.rest, self.whole = b"", None
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
        # An empty line before a request is skipped: some senders end a body with one (RFC 9112, 2.2).
        start = 2 if data.startswith(b"\r\n") else 0
        end = data.find(b"\r\n\r\n", max(start, self._searched))
        if (end if end >= 0 else len(data)) - start > self._max_head:
            raise HeadTooLarge(f"the head is larger than {self._max_head} bytes")
        if end < 0:
            self._check_beginning(data, start)
            self._held = data
            self._searched = max(0, len(data) - 3)
            return b""
        head = check_head(data[start : end + 4])
        self._held, self._searched = b"", 0
        self._may_be_http2 = False
        self._last = head.last
        if head.length is None:
            self._due, self._chunks = _Due.CHUNKS, ChunkedBody()
        else:
            self._due, self._left = _Due.LENGTH, head.length
        body = self._read_body(data[end + 4 :])
        self.under_way = self._due in (_Due.LENGTH, _Due.CHUNKS)
        if self._due is _Due.HEAD and head.length and not head.expects:
            self.whole = Whole(head, body)
        return head.data + body

    def _check_beginning(self, data: bytes, start: int) -> None:
        """Reject at once what can't become a head."""
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
