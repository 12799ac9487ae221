"""The phases of a server's stop, over raw sockets: who comes in time is served, and nobody is reset."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from tests.integration.served_hook import JSON, SERVERS, Served, post, read_response, serving, status

from hookline.service.server.hook_application import AsgiScope, Receive, Send
from hookline.service.server.hypercorn_server import _Connection
from hookline.service.server.serving import Server, serve

REQUEST = post(JSON, "Content-Length: 2", body=b"{}")


#: Seconds: longer than any pause of a busy machine.
LONG_DELAY = 60.0


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serving(request.param, drain_delay=0.5, head_timeout=20) as running:
        yield running


@contextlib.asynccontextmanager
async def accepting_while_it_stops(server: Server) -> AsyncIterator[Served]:
    """A server that doesn't leave the delay of its stop while a test runs, and ends with it."""
    async with serving(server, drain_delay=LONG_DELAY, head_timeout=20) as running:
        yield running
        running.task.cancel()


async def head_and_end(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A response's head in lower case, and everything after it until the connection ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    async with asyncio.timeout(30):
        return head, await reader.read()


@pytest.mark.rule(41)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_server_that_stops_accepts_messages_and_ends_each_connection_with_its_answer(server: Server) -> None:
    async with accepting_while_it_stops(server) as served:
        reader, writer = await served.connect()
        writer.write(REQUEST)
        head, _ = await read_response(reader)
        assert b"connection: close" not in head
        served.stopping.begun.set()
        writer.write(REQUEST)
        later_reader, later = await served.connect()
        later.write(REQUEST)
        for one in (reader, later_reader):
            head, _ = await head_and_end(one)
            assert status(head) == 202
            assert head.count(b"connection: close") == 1
        for one in (writer, later):
            one.close()
            with contextlib.suppress(ConnectionError):
                await one.wait_closed()
        assert len(served.hook.intake.accepted) == 3


@pytest.mark.rule(41)
async def test_after_the_delay_requests_are_rejected_until_none_come_any_more(served: Served) -> None:
    served.stopping.begun.set()
    seen: list[int] = []
    while True:
        try:
            reader, writer = await served.connect()
        except ConnectionRefusedError:
            break
        writer.write(REQUEST)
        head, body = await head_and_end(reader)
        writer.close()
        seen.append(status(head))
        if status(head) == 503:
            assert b"retry-after: 5" in head
            assert b"connection: close" in head
            assert b"request.unavailable" in body
            if seen.count(503) == 20:
                # Now nothing new comes.
                await served.stopping.closing.wait()
    # A busy machine may take longer than the delay; the test above has one that no machine exceeds.
    assert set(seen) <= {202, 503}
    assert seen.count(503) == 20, "the socket closed although requests came"
    assert seen == sorted(seen)
    assert len(served.hook.intake.accepted) == seen.count(202)
    await asyncio.wait_for(asyncio.shield(served.task), 10)


@pytest.mark.rule(41)
async def test_who_connects_at_the_last_moment_may_send_a_request(served: Served) -> None:
    served.stopping.begun.set()
    held = [await served.connect() for _ in range(20)]
    await served.stopping.closing.wait()
    for _, writer in held:
        writer.write(REQUEST)
    for reader, writer in held:
        head, _ = await head_and_end(reader)
        assert status(head) == 503
        writer.close()


@pytest.mark.rule(41)
@pytest.mark.parametrize("is_waiting", [False, True], ids=["at the same moment", "waiting for its message"])
async def test_a_request_that_comes_when_its_connection_is_found_idle_gets_its_response(
    monkeypatch: pytest.MonkeyPatch, is_waiting: bool
) -> None:
    connections: list[_Connection] = []
    read = _Connection._read_data

    async def noted(connection: _Connection) -> None:
        connections.append(connection)
        await read(connection)

    monkeypatch.setattr(_Connection, "_read_data", noted)
    stored = asyncio.Event()
    async with serving("hypercorn", head_timeout=20) as served:
        accept = served.hook.intake.accept

        async def slowly(*arguments: Any) -> Any:
            await stored.wait()
            return await accept(*arguments)

        served.hook.intake.accept = slowly  # type: ignore[method-assign]  # the store is slow
        reader, writer = await served.connect()
        writer.write(REQUEST)
        async with asyncio.timeout(30):
            while not connections or connections[0].answered.is_set():  # noqa: ASYNC110 - the server's own
                await asyncio.sleep(0)
        connections[0].close_idle()
        if is_waiting:
            await asyncio.sleep(0.05)
        stored.set()
        response, _ = await read_response(reader)
        assert status(response) == 202
        writer.close()


@pytest.mark.rule(41)
async def test_http2_is_told_to_go_away_and_its_streams_get_their_responses() -> None:
    async with accepting_while_it_stops("hypercorn") as served:
        reader, writer = await served.connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()

        def send_request() -> int:
            stream: int = connection.get_next_available_stream_id()
            names = {":method": "POST", ":path": "/hook/orders", ":scheme": "http", ":authority": "x"}
            connection.send_headers(stream, [*names.items(), ("content-type", "application/json")])
            connection.send_data(stream, b"{}", end_stream=True)
            return stream

        seen: list[object] = []

        async def until(kind: type[object], stream: int | None = None) -> object:
            while True:
                for event in seen:
                    if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                        return event
                async with asyncio.timeout(30):
                    data = await reader.read(65536)
                assert data, "the connection ended"
                # The state machine of h2 would end with GOAWAY.
                if b"\x00\x00\x08\x07" in data:
                    at = data.index(b"\x00\x00\x08\x07")
                    seen.append(h2.events.ConnectionTerminated())
                    data = data[:at] + data[at + 17 :]
                seen.extend(connection.receive_data(data))

        first = send_request()
        writer.write(connection.data_to_send())
        await until(h2.events.StreamEnded, first)
        served.stopping.begun.set()
        await until(h2.events.ConnectionTerminated)
        # It was on its way when the server said so.
        second = send_request()
        writer.write(connection.data_to_send())
        response = await until(h2.events.ResponseReceived, second)
        assert isinstance(response, h2.events.ResponseReceived)
        assert dict(response.headers)[":status"] == "202"
        await until(h2.events.StreamEnded, second)
        writer.close()
    assert len(served.hook.intake.accepted) == 2


async def _starts_and_ends(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """An application with only a lifespan."""
    assert scope["type"] == "lifespan"
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("stops", [False, True], ids=["serving", "stopping"])
@pytest.mark.promise(8)
async def test_a_server_ends_whenever_it_is_cancelled(server: Server, *, stops: bool) -> None:
    for turns in range(25):
        shutdown = asyncio.Event()
        running = asyncio.create_task(serve(_starts_and_ends, shutdown=shutdown, port=0, server=server))
        for _ in range(turns):
            await asyncio.sleep(0)
        if stops:
            shutdown.set()
        running.cancel()
        await asyncio.wait((running,), timeout=5)
        assert running.done(), f"cancelled after {turns} turns of the loop"
