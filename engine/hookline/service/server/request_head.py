"""A request's head as bytes: whether it says without doubt what is asked for, and where the request ends.

Stricter than either server's parser, so that what both are given reads alike to both, and to a proxy before them
(RFC 9110 and 9112). `docs/discussion/framing.md` has what is rejected, and why.
"""

import re
from typing import Final, NamedTuple

from hookline.kernel.errors import Malformed, MethodUnknown

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"))
ORIGIN_FORM: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
"""A path and a query: visible characters, and no fragment."""

_FIELD: Final = rb"%b:[\t\x20-\x7e\x80-\xff]*+\r\n" % TOKEN
FIELDS: Final = re.compile(rb"(?:%b)*+\r\n" % _FIELD)
_GOOD_FIELDS: Final = re.compile(rb"(?:%b)*+" % _FIELD)
_REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(1\.[01])(?=\r\n)" % TOKEN)
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:[\w.~%!$&'()*+;=-]*|\[[\w.:~%-]+\])(?::[0-9]*)?")
_TELLING: Final = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|connection|upgrade|proxy-connection|expect):([^\r]*)(?=\r\n)",
    re.IGNORECASE,
)
_DROPPED: Final = re.compile(rb"\r\n(?:upgrade|proxy-connection):[^\r]*(?=\r\n)", re.IGNORECASE)
"""No other protocol is begun on a connection, and one of the servers takes `Proxy-Connection` for `Connection`."""
_DROPPED_BEFORE_1_1: Final = re.compile(rb"\r\n(?:upgrade|proxy-connection|expect):[^\r]*(?=\r\n)", re.IGNORECASE)
LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_LINE_START: Final = re.compile(TOKEN + rb":")


class Head(NamedTuple):
    """A head that is taken."""

    data: bytes
    """What the server is to read: the path instead of a whole URL, no wish to change the protocol, and no space after
    a value, which httptools would take for a part of it."""
    length: int | None
    """Of the body, in bytes; None: it comes in chunks."""
    last: bool
    """No other request comes on this connection."""


def judge_head(head: bytes) -> Head:
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
    dropped = False
    for name, value in _TELLING.findall(head, start):
        match name.lower():
            case b"host":
                hosts.append(value.strip(b" \t"))
            case b"content-length":
                lengths.append(value.strip(b" \t"))
            case b"transfer-encoding":
                codings.append(value.strip(b" \t"))
            case b"connection":
                last = last or b"close" in [part.strip(b" \t") for part in value.lower().split(b",")]
            case b"expect":
                dropped = dropped or version == b"1.0"
            case _:
                dropped = True
    _check_host(hosts, version)
    length = _body_length(lengths, codings, version)
    if method not in METHODS:
        raise MethodUnknown
    path = _path(target, hosts)
    if path is not target or dropped:
        drop = _DROPPED_BEFORE_1_1 if version == b"1.0" else _DROPPED
        head = b"%b %b HTTP/%b%b" % (method, path, version, drop.sub(b"", head[start:]))
    if b" \r\n" in head or b"\t\r\n" in head:
        head = b"\r\n".join(part.rstrip(b" \t") for part in head.split(b"\r\n"))
    return Head(head, length, last)


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
    """The path and the query that are asked for."""
    path = target
    whole = _ABSOLUTE_FORM.fullmatch(target)
    if whole is not None:
        if hosts and whole[1].lower() != hosts[0].lower():
            raise Malformed("the URL is of another host than the Host header says")
        path = whole[2] or b"/"
        if path.startswith(b"?"):
            path = b"/" + path
    if ORIGIN_FORM.fullmatch(path) is None:
        raise Malformed("what is asked for is not a path without a fragment")
    return path


def _fault(fields: bytes) -> str:
    """What is wrong with the first header that is."""
    good = _GOOD_FIELDS.match(fields)
    at = good.end() if good is not None else 0
    number = fields.count(b"\r\n", 0, at) + 1
    if fields.startswith((b" ", b"\t"), at):
        return f"header line {number} goes on from the one before; send each header in one line"
    if _LINE_START.match(fields, at) is None:
        return f"header line {number} does not begin with a name and a colon, with nothing between"
    return f"header line {number} holds a control character; send none but tabs"
