"""Where requests begin and end, whatever pieces they come in, and what both servers' parsers make of what is passed."""

from contextlib import suppress
from typing import NamedTuple

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.kernel.errors import HeadTooLarge, Malformed, RequestRejected
from hookline.service.server.framing import Framing

MAX_HEAD = 1000


class Seen(NamedTuple):
    """A request as a parser reads it."""

    method: bytes
    target: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def passed(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """The bytes of each request that came through whole, and why the one after them was rejected."""
    framing = Framing(MAX_HEAD)
    requests = [b""]
    try:
        for piece in pieces:
            data = piece
            while data:
                requests[-1] += framing.feed(data)
                data = framing.rest
                if requests[-1] and not framing.under_way:
                    requests.append(b"")
    except RequestRejected as error:
        return requests[:-1], error.code
    return requests[:-1], ""


def read_by_h11(data: bytes) -> Seen:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert not event.headers
    assert connection.trailing_data == (b"", False)
    return Seen(request.method, request.target, request.http_version, list(request.headers), body)


class _Reader:
    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


def read_by_httptools(data: bytes) -> Seen:
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    parser.feed_data(data)
    assert reader.ended == 1
    url = httptools.parse_url(reader.target)
    target = url.path + (b"?" + url.query if url.query is not None else b"")
    assert target in (reader.target, reader.target.removesuffix(b"?"))
    version = parser.get_http_version().encode()
    return Seen(parser.get_method(), reader.target, version, reader.headers, reader.body)


HEADERS = [
    *[b"Host: x"] * 3,
    b"hOST:x",
    b"Content-Length: 5",
    b"Content-Length:\t05 ",
    b"Content-Length: +5",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:chunked\t",
    b"Transfer-Encoding: chunked, identity",
    b"Connection: x , close",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Proxy-Connection: close",
    b"Expect: 100-continue",
    b"X: a  b \t",
    b"X:",
    b"X: \xe9",
]
LINES = [
    b"POST /hook/orders HTTP/1.1",
    b"GET /a?b HTTP/1.0",
    b"PUT http://x?b HTTP/1.1",
    b"DELETE //a/../[{|}]\\^`<>\"'%zz?%00? HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
]
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b'2;a="b\\";c";d=e\r\nhe\r\n00003\r\nllo\r\n0;f\r\n\r\n',
    b"A\r\n0123456789\r\n0\r\nContent-Length: 3\r\nX: y\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
]
SPOILING = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b'"', b"\x0b", b"\x85", b"#", b"0", b"-"]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Some requests, of which some are spoilt in a place or two."""
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        fields = draw(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=4))
        data += b"\r\n".join([draw(st.sampled_from(LINES)), *fields, b"", draw(st.sampled_from(BODIES))])
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(SPOILING)) + data[at + draw(st.integers(0, 1)) :]
    return data


@given(streams())
def test_what_is_passed_reads_alike_to_both_servers(data: bytes) -> None:
    for request in passed([data])[0]:
        assert read_by_h11(request) == read_by_httptools(request)


@given(streams())
@example(
    b"POST /hook/orders?x=% HTTP/1.1\r\nhOST:x\r\nContent-Length:\t05 \r\nX: a  b \t\r\nX:\r\nx: \xe9\r\n\r\nhello"
)
@example(
    b"PUT http://x?b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nPROXY-Connection: close\r\nContent-Length: 5\r\n\r\n"
    b"hello"
)
def test_what_is_handled_without_a_server_reads_as_the_servers_read_it(data: bytes) -> None:
    framing = Framing(MAX_HEAD)
    with suppress(RequestRejected):
        while data:
            request = framing.feed(data)
            if framing.whole is not None:
                head, body = framing.whole
                assert Seen(head.method, head.target, b"1.1", head.fields, body) == read_by_h11(request)
            data = framing.rest


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n5\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_what_a_server_has_to_follow_is_not_whole(request_: bytes) -> None:
    framing = Framing(MAX_HEAD)
    assert framing.feed(request_) == request_
    assert framing.whole is None
    framing = Framing(MAX_HEAD)
    framing.feed(request_[:20])
    framing.feed(request_[20:])
    assert framing.whole is None


@given(streams(), st.data())
def test_the_pieces_in_which_it_comes_do_not_matter(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert passed(pieces) == passed([data])


def test_a_url_of_this_host_is_passed_as_its_path() -> None:
    requests, _ = passed([b"GET HTTP://X:80/a?b HTTP/1.1\r\nHost: x:80\r\n\r\n"])
    assert requests == [b"GET /a?b HTTP/1.1\r\nHost: x:80\r\n\r\n"]


def test_what_could_change_the_protocol_or_comes_after_the_body_is_not_passed() -> None:
    head = b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nHost: x\r\nUPGRADE:websocket\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests, _ = passed([head + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n"])
    assert requests == [b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]


def test_nothing_is_passed_after_the_last_request() -> None:
    for head in (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        assert passed([head + b"\r\nnonsense\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]) == ([head], "")


def test_a_head_is_bounded_as_soon_as_it_is_too_large() -> None:
    framing = Framing(MAX_HEAD)
    assert framing.feed(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100) == b""
    with pytest.raises(HeadTooLarge):
        framing.feed(b"X: y\r\n" * 100)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"X : 1", "header line 2 does not begin with a name and a colon"),
        (b" 1", "header line 2 goes on from the one before"),
        (b"X: \x01", "header line 2 holds a control character"),
    ],
)
def test_a_rejection_names_the_line(line: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        Framing(MAX_HEAD).feed(b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\nY: 1\r\n\r\n")


def test_http2_passes_whole_where_it_may_begin_a_connection_and_nowhere_else() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    framing = Framing(MAX_HEAD, http2=True)
    assert framing.feed(preface[:5]) == b""
    assert framing.feed(preface[5:] + b"\x00\x01") == preface + b"\x00\x01"
    assert framing.http2
    assert framing.feed(b"\r\n") == b"\r\n"
    after = Framing(MAX_HEAD, http2=True)
    after.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for rejecting in (after, Framing(MAX_HEAD)):
        with pytest.raises(Malformed):
            rejecting.feed(preface)
