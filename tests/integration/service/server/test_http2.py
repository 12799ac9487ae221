"""HTTP/2 without TLS on Hypercorn: what a sender may get wrong, and what happens to the others on its connection."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from tests.integration.served_hook import Served, serving

from hookline.service.hooks.hook_endpoint import HookOptions

LOCAL = (ip_network("127.0.0.0/8"),)
Headers = list[tuple[str, str]]

REQUEST: Headers = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/hook/orders"),
    ("content-type", "application/json"),
]


def headers(*more: tuple[str, str], **pseudo: str | None) -> Headers:
    """Those of a good request, with some replaced, or left out where None."""
    kept = [(name, pseudo.get(name.strip(":"), value)) for name, value in REQUEST]
    return [(name, value) for name, value in kept if value is not None] + list(more)


class Sender:
    """A connection of HTTP/2 whose sender may say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
            )
        )
        self.h2.initiate_connection()
        self.statuses: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.reset: dict[int, int] = {}
        self.over: set[int] = set()
        self.closed = False

    def ask(self, sent: Headers, body: bytes | None = b"{}", *, end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, sent, end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        return stream

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def wait(self, *streams: int) -> None:
        """Until each of them is answered or reset, or the connection has ended."""
        self.flush()
        async with asyncio.timeout(30):
            while not self.closed and not self.over >= set(streams):
                with contextlib.suppress(ConnectionError):
                    self.take(await self.reader.read(65536))

    def take(self, data: bytes) -> None:
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.statuses[event.stream_id] = int(dict(event.headers)[":status"])
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.over.add(event.stream_id)
                case h2.events.StreamReset():
                    self.reset[event.stream_id] = event.error_code
                    self.over.add(event.stream_id)
                case h2.events.ConnectionTerminated():
                    self.closed = True
        self.flush()


@contextlib.asynccontextmanager
async def sender(served: Served) -> AsyncIterator[Sender]:
    reader, writer = await served.connect()
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def two_senders(**settings: Any) -> AsyncIterator[tuple[Sender, Sender]]:
    """Two connections to one server with these settings."""
    options = HookOptions("https://hooks.example", read_timeout=5)
    async with (
        serving("hypercorn", options=options, **settings) as served,
        sender(served) as one,
        sender(served) as other,
    ):
        yield one, other


@pytest.fixture
async def served(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    options = HookOptions("https://hooks.example", read_timeout=5)
    async with serving("hypercorn", options=options, drain_seconds=0.05) as running:
        yield running
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_requests_on_one_connection_are_each_answered(served: Served) -> None:
    async with sender(served) as one:
        streams = [one.ask(headers()) for _ in range(5)]
        await one.wait(*streams)
        assert one.statuses == dict.fromkeys(streams, 202)
    assert len(served.hook.intake.accepted) == 5


@pytest.mark.rule(43)
async def test_all_connections_together_have_a_bounded_number_of_streams() -> None:
    async with two_senders(max_connections=10, trusted_proxies=LOCAL, drain_seconds=0.05) as (one, other):
        unfinished = [one.ask(headers(), end=False) for _ in range(6)]
        await one.wait(one.ask(headers()))  # they came in this order
        more = [other.ask(headers(), end=False) for _ in range(6)]
        await other.wait(*more[4:])
        assert [other.statuses[stream] for stream in more[4:]] == [503, 503]
        assert b"too many requests" in other.bodies[more[4]]
        # A stream that has its response leaves its place to another.
        one.h2.send_data(unfinished[0], b"", end_stream=True)
        await one.wait(unfinished[0])
        later = other.ask(headers())
        await other.wait(later)
        assert (one.statuses[unfinished[0]], other.statuses[later]) == (202, 202)
        # And so do those of a connection that has gone.
        one.writer.close()
        async with asyncio.timeout(30):
            while True:
                again = [other.ask(headers(), end=False) for _ in range(5)]
                for stream in again:
                    other.h2.send_data(stream, b"", end_stream=True)
                await other.wait(*again)
                if [other.statuses[stream] for stream in again] == [202] * 5:
                    break


@pytest.mark.rule(43)
async def test_a_connection_whose_streams_were_rejected_is_idle() -> None:
    async with two_senders(max_connections=10, trusted_proxies=LOCAL, head_timeout=0.5) as (one, other):
        for _ in range(9):
            one.ask(headers(), end=False)
        await one.wait(one.ask(headers()))  # they came in this order
        one.ask(headers(), end=False)
        await one.wait(one.ask(headers(), end=False))
        rejected = other.ask(headers())
        await other.wait(rejected)
        assert other.statuses[rejected] == 503
        async with asyncio.timeout(30):
            while not other.closed:
                other.take(await other.reader.read(65536))


@pytest.mark.rule(42, 43)
async def test_one_address_has_at_most_half_of_the_streams() -> None:
    async with two_senders(max_connections=8, drain_seconds=0.05) as (one, other):
        for _ in range(3):
            one.ask(headers(), end=False)
        await one.wait(one.ask(headers()))  # they came in this order
        taken, late = other.ask(headers(), end=False), other.ask(headers())
        await other.wait(late)
        assert other.statuses[late] == 503
        assert taken not in other.statuses
        assert b"your address" in other.bodies[late]


async def test_the_preface_may_come_in_pieces(served: Served) -> None:
    async with sender(served) as one:
        stream = one.ask(headers())
        for byte in one.h2.data_to_send():
            one.writer.write(bytes([byte]))
            await one.writer.drain()
        await one.wait(stream)
        assert one.statuses[stream] == 202


MALFORMED: dict[str, tuple[Headers, bytes | None]] = {
    "more than the length": (headers(("content-length", "1")), b"{}"),
    "less than the length": (headers(("content-length", "5")), b"{}"),
    "nothing of the length": (headers(("content-length", "5")), None),
    "two lengths": (headers(("content-length", "2"), ("content-length", "3")), b"{}"),
    "two equal lengths": (headers(("content-length", "2"), ("content-length", "2")), b"{}"),
    "a length without end": (headers(("content-length", "9" * 30)), b"{}"),
    "a length with zeros without end": (headers(("content-length", "0" * 30 + "2")), b"{}"),
    "a length with a sign": (headers(("content-length", "+2")), b"{}"),
    "a length that is no number": (headers(("content-length", "two")), b"{}"),
    "a negative length": (headers(("content-length", "-2")), b"{}"),
    "a connection": (headers(("connection", "close")), b"{}"),
    "a coding": (headers(("transfer-encoding", "chunked")), b"{}"),
    "an upgrade": (headers(("upgrade", "h2c")), b"{}"),
    "other trailers": (headers(("te", "gzip")), b"{}"),
    "a name in capitals": (headers(("X-Y", "1")), b"{}"),
    "an empty name": (headers(("", "1")), b"{}"),
    "a name with a space": (headers(("x y", "1")), b"{}"),
    "a name with a line end": (headers(("x\r\ny", "1")), b"{}"),
    "a null in a value": (headers(("x", "a\x00b")), b"{}"),
    "a line end in a value": (headers(("x", "a\r\nb: c")), b"{}"),
    "another host": (headers(("host", "y")), b"{}"),
    "a pseudo-header after the others": ([*headers(path=None), (":path", "/hook/orders")], b"{}"),
    "a path twice": ([(":path", "/hook/orders"), *headers()], b"{}"),
    "a method twice": ([(":method", "POST"), *headers()], b"{}"),
    "no path": (headers(path=None), b"{}"),
    "no method": (headers(method=None), b"{}"),
    "no scheme": (headers(scheme=None), b"{}"),
    "no authority": (headers(authority=None), b"{}"),
    "an empty path": (headers(path=""), b"{}"),
    "a pseudo-header of nobody": ([(":what", "1"), *headers()], b"{}"),
    "a status": ([(":status", "200"), *headers()], b"{}"),
}

REJECTED: dict[str, tuple[Headers, int]] = {
    "an asterisk": (headers(path="*"), 400),
    "a path without a slash": (headers(path="hook/orders"), 400),
    "a whole URL": (headers(path="http://x/hook/orders"), 400),
    "a fragment": (headers(path="/hook/orders#x"), 400),
    "a space in the path": (headers(path="/hook/orders HTTP/1.1"), 400),
    "a byte above 127 in the path": (headers(path="/hook/\xe9"), 400),
    "a method in lower case": (headers(method="post"), 405),
    "a method of other letters": (headers(method="P\xd6ST"), 405),
    "connect": ([(":method", "CONNECT"), (":authority", "x:80")], 405),
    "a websocket": ([*headers(method="CONNECT")[:4], (":protocol", "websocket")], 405),
}


async def test_what_is_malformed_is_never_accepted_and_never_500(served: Served) -> None:
    """h2 ends the connection on it, or Hookline answers the stream."""
    for name, (sent, body) in MALFORMED.items():
        async with sender(served) as one:
            stream = one.ask(sent, body)
            await one.wait(stream)
            assert one.closed or one.statuses.get(stream) == 400, (name, one.statuses, one.reset)
            assert served.hook.intake.accepted == [], name


async def test_what_is_no_path_or_method_is_rejected_and_the_connection_goes_on(served: Served) -> None:
    async with sender(served) as one:
        for name, (sent, status) in REJECTED.items():
            rejected = one.ask(sent, b"{}", end=False)
            good = one.ask(headers())
            await one.wait(rejected, good)
            assert one.statuses[rejected] == status, name
            assert json.loads(one.bodies[rejected])["status"] == status
            assert one.statuses[good] == 202, name
    assert len(served.hook.intake.accepted) == len(REJECTED)


async def test_data_for_a_stream_that_is_answered_ends_no_other(served: Served) -> None:
    async with sender(served) as one:
        rejected = one.ask(headers(path="/hook/nope"), b"{", end=False)
        waiting = one.ask(headers(), b"{", end=False)
        await one.wait(rejected)
        assert one.statuses[rejected] == 404
        # All of what may be on the way before the sender knows.
        for _ in range(10):
            with contextlib.suppress(h2.connection.StreamClosedError):
                one.h2.send_data(rejected, b"x" * 1000)
        one.h2.send_data(waiting, b"}", end_stream=True)
        await one.wait(waiting)
        assert one.statuses[waiting] == 202
        late = one.ask(headers())
        await one.wait(late)
        assert one.statuses[late] == 202
        assert not one.closed


async def test_a_sender_that_goes_on_after_its_answer_is_told_to_stop(served: Served) -> None:
    async with sender(served) as one:
        rejected = one.ask(headers(path="/hook/nope"), b"{", end=False)
        await one.wait(rejected)
        one.h2.send_data(rejected, b"x" * 1000)
        one.over.clear()
        await one.wait(rejected)
        assert one.reset == {rejected: 0}


async def test_streams_that_are_reset_at_once_leave_the_connection_usable(served: Served) -> None:
    async with sender(served) as one:
        for _ in range(1100):
            stream = one.ask(headers(path="/hook/nope"), None, end=False)
            one.h2.reset_stream(stream)
        one.flush()
        await one.writer.drain()
        good = one.ask(headers())
        await one.wait(good)
        assert one.statuses.get(good) == 202


async def test_a_sender_that_reads_no_answer_and_goes_leaves_nothing_behind(served: Served) -> None:
    before = asyncio.all_tasks()
    async with sender(served) as one:
        # It makes no room for the answer's body.
        one.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        stream = one.ask(headers())
        one.flush()
        async with asyncio.timeout(30):
            while stream not in one.statuses:
                one.take(await one.reader.read(65536))
    async with asyncio.timeout(30):
        while not asyncio.all_tasks() <= before:  # noqa: ASYNC110 - bounded polling: nothing tells when
            await asyncio.sleep(0.01)


async def test_priorities_are_passed_over(served: Served) -> None:
    async with sender(served) as one:
        for stream in range(1, 3001, 2):
            one.h2.prioritize(stream, weight=1, depends_on=stream + 2)
        good = one.ask(headers())
        await one.wait(good)
        assert one.statuses[good] == 202
