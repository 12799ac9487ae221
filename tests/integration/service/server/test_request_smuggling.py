"""Requests in which a second one could hide, over raw sockets: both servers reject the same, or take the same alike."""

import asyncio
import json
import re

import pytest
from tests.integration.served_hook import JSON, SERVERS, Served, post, serving

from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server.serving import MAX_HEAD, Server

HOST = b"Host: x"
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 2"
TYPE = JSON.encode()
PLAIN = b"POST /hook/orders HTTP/1.1"
NEXT = post(JSON, "Content-Length: 10", close=True, body=b'{"next":1}')


def request(*headers: bytes, line: bytes = PLAIN, body: bytes = b"{}", end: bytes = b"\r\n") -> bytes:
    return end.join([line, TYPE, *headers, b"", b""]) + body


def target(value: bytes, *headers: bytes) -> bytes:
    return request(*(headers or (HOST,)), LENGTH, line=b"POST %b HTTP/1.1" % value)


def chunks(body: bytes, *headers: bytes) -> bytes:
    return request(HOST, CHUNKED, *headers, body=body)


HIDDEN = b"GET /hook/orders?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
ZERO = b"0\r\n\r\n"

REJECTED: dict[str, bytes] = {
    "length and chunking": request(HOST, b"Content-Length: 4", CHUNKED, body=ZERO),
    "chunking and length": request(HOST, CHUNKED, b"Content-Length: %d" % len(ZERO + HIDDEN), body=ZERO + HIDDEN),
    "two lengths": request(HOST, LENGTH, b"Content-Length: 3"),
    "two equal lengths": request(HOST, LENGTH, LENGTH),
    "a list of lengths": request(HOST, b"Content-Length: 2, 3"),
    "a list of equal lengths": request(HOST, b"Content-Length: 2, 2"),
    "a length with a sign": request(HOST, b"Content-Length: +2"),
    "a negative length": request(HOST, b"Content-Length: -2"),
    "a hexadecimal length": request(HOST, b"Content-Length: 0x2"),
    "a length in two parts": request(HOST, b"Content-Length: 2 2"),
    "a length with a fraction": request(HOST, b"Content-Length: 2.0"),
    "an empty length": request(HOST, b"Content-Length:"),
    "a length without end": request(HOST, b"Content-Length: " + b"9" * 30),
    "a length above 64 bits": request(HOST, b"Content-Length: 18446744073709551618"),
    "a length in other digits": request(HOST, b"Content-Length: \xb2"),
    "an unknown coding": request(HOST, b"Transfer-Encoding: gzip"),
    "a coding that resembles chunked": request(HOST, b"Transfer-Encoding: xchunked", body=ZERO),
    "a quoted coding": request(HOST, b'Transfer-Encoding: "chunked"', body=ZERO),
    "chunked with a parameter": request(HOST, b"Transfer-Encoding: chunked;a=b", body=ZERO),
    "chunked, then identity": request(HOST, b"Transfer-Encoding: chunked, identity", body=ZERO),
    "identity, then chunked": request(HOST, b"Transfer-Encoding: identity, chunked", body=ZERO),
    "chunked in a list with nothing": request(HOST, b"Transfer-Encoding: ,chunked", body=ZERO),
    "chunked twice": request(HOST, CHUNKED, CHUNKED, body=ZERO),
    "two codings in two headers": request(HOST, CHUNKED, b"Transfer-Encoding: identity", body=ZERO),
    "an empty coding": request(HOST, b"Transfer-Encoding:", body=ZERO),
    "chunked after a vertical tab": request(HOST, b"Transfer-Encoding: \x0bchunked", body=ZERO),
    "chunking in HTTP/1.0": request(HOST, CHUNKED, line=b"POST /hook/orders HTTP/1.0", body=ZERO),
    "no host": request(LENGTH),
    "two hosts": request(HOST, b"Host: y", LENGTH),
    "two equal hosts": request(HOST, HOST, LENGTH),
    "two hosts in HTTP/1.0": request(HOST, HOST, LENGTH, line=b"POST /hook/orders HTTP/1.0"),
    "a list of hosts": request(b"Host: x, y", LENGTH),
    "a host with a path": request(b"Host: x/y", LENGTH),
    "a host with a user": request(b"Host: a@x", LENGTH),
    "a folded header": request(HOST, LENGTH, b"X: 1", b" 2"),
    "a folded coding": request(HOST, b"Transfer-Encoding:", b" chunked", body=ZERO),
    "a fold before the first header": b"\r\n".join([PLAIN, b" X: y", HOST, LENGTH, b"", b"{}"]),
    "a space before the colon": request(HOST, b"Content-Length : 2"),
    "a tab before the colon": request(HOST, b"Transfer-Encoding\t: chunked", body=ZERO),
    "a header without a colon": request(HOST, LENGTH, b"X"),
    "a header without a name": request(HOST, LENGTH, b": x"),
    "a name in brackets": request(HOST, LENGTH, b"X(y): 1"),
    "a name with a byte above 127": request(HOST, LENGTH, b"X\xe9: 1"),
    "a name with a null": request(HOST, LENGTH, b"X\x00: 1"),
    "a null in a value": request(HOST, LENGTH, b"X: a\x00b"),
    "an escape in a value": request(HOST, LENGTH, b"X: a\x1bb"),
    "a delete in a value": request(HOST, LENGTH, b"X: a\x7fb"),
    "a carriage return in a value": request(HOST, LENGTH, b"X: a\rb"),
    "a line feed in a value": request(HOST, b"X: a\nContent-Length: 2"),
    "a carriage return as the end of a line": request(HOST, b"X: a\rContent-Length: 2"),
    "two carriage returns": request(HOST, LENGTH, b"X: a\r"),
    "lines that end in a line feed": request(HOST, LENGTH, end=b"\n"),
    "an empty line without a carriage return": b"\r\n".join([PLAIN, HOST, LENGTH, b"\n{}"]),
    "nothing but an empty line": b"\r\n\r\n",
    "no version": request(HOST, LENGTH, line=b"POST /hook/orders"),
    "HTTP/0.9": b"GET /hook/orders\r\n\r\n",
    "HTTP/1.2": request(HOST, LENGTH, line=b"POST /hook/orders HTTP/1.2"),
    "HTTP/2.0": request(HOST, LENGTH, line=b"POST /hook/orders HTTP/2.0"),
    "http/1.1": request(HOST, LENGTH, line=b"POST /hook/orders http/1.1"),
    "HTTP/01.1": request(HOST, LENGTH, line=b"POST /hook/orders HTTP/01.1"),
    "two spaces": request(HOST, LENGTH, line=b"POST  /hook/orders HTTP/1.1"),
    "a tab between": request(HOST, LENGTH, line=b"POST\t/hook/orders HTTP/1.1"),
    "a space before the method": request(HOST, LENGTH, line=b" POST /hook/orders HTTP/1.1"),
    "a space after the version": request(HOST, LENGTH, line=b"POST /hook/orders HTTP/1.1 "),
    "a space in the path": target(b"/hook/orders HTTP/1.1\x0b /x"),
    "a null in the path": target(b"/hook/orders\x00"),
    "a byte above 127 in the path": target(b"/hook/\xe9"),
    "a fragment": target(b"/hook/orders#x"),
    "an asterisk": target(b"*"),
    "options of the server": request(HOST, line=b"OPTIONS * HTTP/1.1"),
    "an authority": target(b"x:80"),
    "a path without a slash": target(b"hook/orders"),
    "another scheme": target(b"ftp://x/hook/orders"),
    "a URL of another host": target(b"http://y/hook/orders"),
    "a URL of another port": target(b"http://x:81/hook/orders"),
    "a URL with a user": target(b"http://a@x/hook/orders"),
    "a URL without a host": target(b"http:///hook/orders"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a size with a plus": chunks(b"+2\r\n{}\r\n0\r\n\r\n"),
    "a size with a minus": chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a size with 0x": chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a size with an underscore": chunks(b"0_2\r\n{}\r\n0\r\n\r\n"),
    "a size that is no number": chunks(b"zz\r\n{}\r\n0\r\n\r\n"),
    "an empty size": chunks(b"\r\n{}\r\n0\r\n\r\n"),
    "a size above 64 bits": chunks(b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    "a size of many digits": chunks(b"f" * 2000),
    "a space before a size": chunks(b" 2\r\n{}\r\n0\r\n\r\n"),
    "a space after a size": chunks(b"2 \r\n{}\r\n0\r\n\r\n"),
    "a size that ends in a line feed": chunks(b"2\n{}\r\n0\r\n\r\n"),
    "an extension that ends in a line feed": chunks(b"2;a\n{}\r\n0\r\n\r\n"),
    "an extension with a carriage return": chunks(b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
    "an extension with a null": chunks(b"2;\x00\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is too long": chunks(b"2\r\n{}}\r\n0\r\n\r\n"),
    "a chunk that is too short": chunks(b"3\r\n{}\r\n0\r\n\r\n"),
    "a chunk that ends in line feeds": chunks(b"2\r\n{}\n\n0\r\n\r\n"),
    "a chunk that ends in a line feed": chunks(b"2\r\n{}\n0\r\n\r\n"),
    "a trailer without a colon": chunks(b"2\r\n{}\r\n0\r\nx\r\n\r\n"),
    "a trailer that is folded": chunks(b"2\r\n{}\r\n0\r\nX: 1\r\n 2\r\n\r\n"),
    "a trailer that ends in a line feed": chunks(b"2\r\n{}\r\n0\r\nX: 1\n\r\n\r\n"),
    "trailers without end": chunks(b"2\r\n{}\r\n0\r\n" + b"X: 1\r\n" * 2000),
}

UNKNOWN_METHODS: dict[str, bytes] = {
    "a method in lower case": request(HOST, LENGTH, line=b"post /hook/orders HTTP/1.1"),
    "a method that nobody knows": request(HOST, LENGTH, line=b"POSTGET /hook/orders HTTP/1.1"),
    "connect": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "the beginning of HTTP/2, and not its end": b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n",
}

#: How each is answered, what follows it too, and the bodies that were accepted.
TAKEN: dict[str, tuple[bytes, list[int], list[bytes]]] = {
    "a length": (request(HOST, LENGTH), [202, 202], [b"{}"]),
    "a length with spaces around": (request(HOST, b"Content-Length:\t 2 \t"), [202, 202], [b"{}"]),
    "a length with zeros": (request(HOST, b"Content-Length: 002"), [202, 202], [b"{}"]),
    "chunked in capitals": (
        request(HOST, b"TRANSFER-ENCODING:CHUNKED \t", body=b"2\r\n{}\r\n0\r\n\r\n"),
        [202, 202],
        [b"{}"],
    ),
    "extensions": (chunks(b'1;a=b;c\r\n{\r\n1;d="e;\\"f"\r\n}\r\n0;g\r\n\r\n'), [202, 202], [b"{}"]),
    "sizes in hexadecimal": (chunks(b'00a\r\n{"a":"bcd"\r\n1\r\n}\r\n00\r\n\r\n'), [202, 202], [b'{"a":"bcd"}']),
    "trailers": (
        chunks(b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nX: 1\r\n\r\n", b"Trailer: X"),
        [202, 202],
        [b"{}"],
    ),
    "a URL of this host": (target(b"http://X/hook/orders"), [202, 202], [b"{}"]),
    "a URL of no path": (target(b"http://x?a"), [404, 202], []),
    "HTTP/1.0": (request(LENGTH, line=b"POST /hook/orders HTTP/1.0"), [202], [b"{}"]),
    "HTTP/1.0 that wants to stay": (
        request(LENGTH, b"Connection: keep-alive", line=b"POST /hook/orders HTTP/1.0"),
        [202],
        [b"{}"],
    ),
    "HTTP/1.0 that would wait for 100": (
        request(LENGTH, b"Expect: 100-continue", line=b"POST /hook/orders HTTP/1.0"),
        [202],
        [b"{}"],
    ),
    "the last of its connection": (request(HOST, LENGTH, b"Connection: x, Close"), [202], [b"{}"]),
    "the last, and an empty line": (request(HOST, LENGTH, b"Connection: close") + b"\r\n", [202], [b"{}"]),
    "an empty line between": (request(HOST, LENGTH) + b"\r\n", [202, 202], [b"{}"]),
    "an empty line before": (b"\r\n" + request(HOST, LENGTH), [202, 202], [b"{}"]),
    "a wish for HTTP/2": (
        request(
            HOST,
            LENGTH,
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        [202, 202],
        [b"{}"],
    ),
    "a wish for HTTP/2 without a body": (
        b"GET /hook/nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        [404, 202],
        [],
    ),
    "a wish for a websocket": (
        b"GET /hook/nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        [404, 202],
        [],
    ),
    "a body of a GET": (
        b"GET /hook/nope HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(HIDDEN) + HIDDEN,
        [404],
        [],
    ),
    "a null that is escaped": (target(b"/hook/orders/%00"), [202, 202], [b"{}"]),
    "signs that should be escaped": (target(b"/hook/orders/[{|}]\\^`<>\"'?x=[{|}]&%zz"), [202, 202], [b"{}"]),
    "another method": (request(HOST, LENGTH, line=b"DELETE /hook/orders HTTP/1.1"), [405, 202], []),
    "an address as the host": (request(b"Host: [::1]:80", LENGTH), [202, 202], [b"{}"]),
    "an empty host": (request(b"Host:", LENGTH), [202, 202], [b"{}"]),
    "Latin-1 in a value": (request(HOST, LENGTH, b"X: \xe9\t\xff"), [202, 202], [b"{}"]),
    "a connection for proxies": (request(HOST, LENGTH, b"Proxy-Connection: close"), [202, 202], [b"{}"]),
}


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]


def rejection(answer: bytes) -> tuple[int, bool, str]:
    """The status of an answer that stands alone; whether it closes the connection; its code."""
    head, _, body = answer.partition(b"\r\n\r\n")
    (status,) = statuses(answer)
    return status, b"connection: close" in head.lower(), json.loads(body)["code"]


async def ask_all(served: Served, cases: dict[str, bytes], *, singly: bool = False) -> dict[str, bytes]:
    """The answers to all cases, each on a connection of its own, which has to be closed by the server."""

    async def ask(data: bytes) -> bytes:
        pieces = [data[at : at + 1] for at in range(len(data))] if singly else [data]
        return await served.exchange(*pieces)

    answers: list[bytes] = []
    names = list(cases)
    for first in range(0, len(names), 20):
        answers += await asyncio.gather(*(ask(cases[name]) for name in names[first : first + 20]))
    return dict(zip(names, answers, strict=True))


def accepted(served: Served) -> list[bytes | None]:
    return [envelope.body_json for envelope in served.hook.intake.accepted]


@pytest.mark.parametrize("server", SERVERS)
async def test_what_is_not_plain_is_400_and_nothing_behind_it_is_served(server: Server) -> None:
    async with serving(server, head_timeout=20) as served:
        answers = await ask_all(served, {name: data + NEXT for name, data in REJECTED.items()})
        assert {name: rejection(answer) for name, answer in answers.items()} == dict.fromkeys(
            REJECTED, (400, True, "request.malformed")
        )
        assert accepted(served) == []


@pytest.mark.parametrize("server", SERVERS)
async def test_a_request_before_it_is_answered_first(server: Server) -> None:
    first = request(HOST, LENGTH)
    async with serving(server, head_timeout=20) as served:
        answers = await ask_all(served, {name: first + data + NEXT for name, data in REJECTED.items()})
        assert {name: statuses(answer) for name, answer in answers.items()} == {name: [202, 400] for name in REJECTED}
        assert accepted(served) == [b"{}"] * len(REJECTED)


@pytest.mark.parametrize("server", SERVERS)
async def test_methods_that_are_unknown_are_405(server: Server) -> None:
    async with serving(server, head_timeout=20) as served:
        answers = await ask_all(served, {name: data + NEXT for name, data in UNKNOWN_METHODS.items()})
        assert {name: rejection(answer) for name, answer in answers.items()} == dict.fromkeys(
            UNKNOWN_METHODS, (405, True, "request.method_unknown")
        )
        assert accepted(served) == []


@pytest.mark.parametrize("server", SERVERS)
async def test_what_is_plain_is_taken_and_the_next_request_too(server: Server) -> None:
    async with serving(server, head_timeout=20) as served:
        for name, (data, expected, bodies) in TAKEN.items():
            answer = await served.exchange(data + NEXT)
            assert statuses(answer) == expected, (name, answer)
            following = [b'{"next":1}'] if len(expected) == 2 else []
            assert accepted(served) == [*bodies, *following], name
            served.hook.intake.accepted.clear()


@pytest.mark.parametrize("server", SERVERS)
async def test_bytes_that_come_singly_are_judged_alike(server: Server) -> None:
    names = ("chunking and length", "two equal lengths", "a folded header", "lines that end in a line feed")
    async with serving(server, head_timeout=20) as served:
        rejected = await ask_all(served, {name: REJECTED[name] + NEXT for name in names}, singly=True)
        assert {name: rejection(answer)[0] for name, answer in rejected.items()} == dict.fromkeys(names, 400)
        taken = {name: TAKEN[name] for name in ("extensions", "trailers", "an empty line between")}
        answers = await ask_all(served, {name: data + NEXT for name, (data, _, _) in taken.items()}, singly=True)
        assert {name: statuses(answer) for name, answer in answers.items()} == {name: [202, 202] for name in taken}


@pytest.mark.parametrize("server", SERVERS)
async def test_trailers_are_no_headers(server: Server) -> None:
    async with serving(server, head_timeout=20) as served:
        answer = await served.exchange(chunks(b"2\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n") + NEXT)
        assert statuses(answer) == [202, 202]
        assert "x-late" not in served.hook.intake.accepted[0].message.headers


@pytest.mark.parametrize("server", SERVERS)
async def test_a_chunk_that_breaks_off_ends_what_was_begun(server: Server) -> None:
    """The head and a good chunk have been handed on, and the application waits for more."""
    async with serving(
        server, options=HookOptions("https://hooks.example", read_timeout=20), head_timeout=20
    ) as served:
        reader, writer = await served.connect()
        writer.write(chunks(b"1\r\n{\r\n", b"Expect: 100-continue"))
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"zz\r\n}\r\n0\r\n\r\n" + NEXT)
        assert rejection(await reader.read()) == (400, True, "request.malformed")
        writer.close()
        await writer.wait_closed()
        assert accepted(served) == []


@pytest.mark.parametrize("server", SERVERS)
async def test_a_head_that_is_too_large_is_431(server: Server) -> None:
    line = b"X: " + b"y" * 1000
    async with serving(server, head_timeout=20) as served:
        answer = await served.exchange(request(HOST, LENGTH, *[line] * (MAX_HEAD // len(line) + 1)))
        assert rejection(answer) == (431, True, "request.head_too_large")
        assert accepted(served) == []
        # One that just fits is taken.
        answer = await served.exchange(request(HOST, LENGTH, *[line] * (MAX_HEAD // len(line) - 1)) + NEXT)
        assert statuses(answer) == [202, 202]


@pytest.mark.parametrize("server", SERVERS)
async def test_the_answer_arrives_though_the_sender_goes_on_writing(server: Server) -> None:
    async with serving(server, head_timeout=20) as served:
        answer = await served.exchange(request(HOST, LENGTH, LENGTH), *[b"x" * 65536] * 30)
        assert rejection(answer)[0] == 400
