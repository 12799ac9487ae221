"""Senders that send nothing more, and read: they get their answers, and streams to them go on."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import pytest
from tests.integration.served_hook import JSON, SERVERS, Served, post, serving, status

from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server import serving as server_module
from hookline.service.server.hook_application import Application, AsgiScope, Receive, Send
from hookline.service.server.serving import Server, serve
from hookline.testing.eventually import assert_eventually

DIRECT = post(JSON, "Content-Length: 2", body=b"{}")
FULL = post(JSON, "Content-Length: 2", path="/hook/order%73", body=b"{}")
CHUNKED = post(JSON, "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n")
PAGE = b"GET /problems/request.host HTTP/1.1\r\nHost: x\r\n\r\n"
REJECTED = post(JSON, "Content-Length: 2", path="/hook/none", body=b"{}")


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serving(request.param, head_timeout=5.0) as running:
        yield running


@pytest.mark.rule(42)
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (DIRECT, [202]),
        (FULL, [202]),
        (CHUNKED, [202]),
        (PAGE, [200]),
        (REJECTED, [404]),
        (PAGE.replace(b"HTTP/1.1", b"HTTP/1.0"), [200]),
        (DIRECT * 3, [202] * 3),
        (DIRECT + PAGE + FULL + REJECTED + CHUNKED, [202, 200, 202, 404, 202]),
        (PAGE + b"POST /hook/orders HT", [200]),
    ],
    ids=["direct", "full", "chunked", "page", "rejected", "http1.0", "pipelined", "mixed", "begun"],
)
async def test_a_sender_that_closes_its_half_is_answered(served: Served, request_: bytes, expected: list[int]) -> None:
    answer = await served.exchange(request_, end=True)
    assert [status(b"HTTP/1.1 " + part) for part in answer.split(b"HTTP/1.1 ")[1:]] == expected


@contextlib.asynccontextmanager
async def running(app: Application, server: Server) -> AsyncIterator[int]:
    """The port of an application on a server."""
    shutdown = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(
                app,
                shutdown=shutdown,
                port=0,
                server=server,
                bound=lambda _, number: port.set_result(number),
                graceful_timeout=1,
            )
        )
        try:
            yield await port
        finally:
            shutdown.set()


class Stream:
    """An application that streams until its client has gone, or for so many parts."""

    def __init__(self, parts: int | None = None) -> None:
        self.parts = parts
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        listening = asyncio.ensure_future(self._listen(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.set()
        for number in itertools.count():
            if number == self.parts or self.gone.is_set():
                break
            await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"last"})
        listening.cancel()

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@pytest.mark.rule(42)
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("half_closes", [False, True])
async def test_a_stream_that_is_written_to_outlasts_the_limit_of_silence(
    server: Server, half_closes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SILENCE_TIMEOUT", 0.4)
    app = Stream(parts=10)
    async with running(app, server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        if half_closes:
            writer.write_eof()
        assert b"last" in await reader.readuntil(b"last")
        assert not app.gone.is_set()
        writer.close()


async def test_a_stream_over_http_2_outlasts_the_limit_of_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SILENCE_TIMEOUT", 0.4)
    async with running(Stream(parts=10), "hypercorn") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = h2.connection.H2Connection(h2.config.H2Configuration())
        client.initiate_connection()
        client.send_headers(
            1, [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/e")], end_stream=True
        )
        writer.write(client.data_to_send())
        got, ended = b"", False
        # It acknowledges nothing: not a byte comes from it after the request.
        while not ended and (data := await reader.read(65536)):
            for event in client.receive_data(data):
                got += event.data if isinstance(event, h2.events.DataReceived) else b""
                ended = ended or isinstance(event, h2.events.StreamEnded)
        assert ended
        assert got.endswith(b"last")
        writer.close()


@pytest.mark.parametrize("half_closes", [False, True])
async def test_a_response_that_writes_nothing_ends_by_the_limit_of_silence(
    half_closes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SILENCE_TIMEOUT", 0.2)
    gone = asyncio.Event()

    async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

    async with running(app, "hypercorn") as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        if half_closes:
            writer.write_eof()
        await assert_eventually(gone.is_set)
        writer.close()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_went_away_is_noticed_when_it_is_written_to(server: Server) -> None:
    app = Stream()
    async with running(app, server) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await assert_eventually(app.begun.is_set)
        writer.close()
        await assert_eventually(app.gone.is_set)


async def test_the_header_date_goes_on_during_a_stop_of_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count(1)
    made = []

    def date(*_: object, **__: object) -> str:
        made.append(f"date {next(numbers)}")
        return made[-1]

    monkeypatch.setattr("uvicorn.server.formatdate", date)
    options = HookOptions("https://hooks.example", read_timeout=20)
    async with serving("uvicorn", options=options, graceful_timeout=20.0) as served:
        reader, writer = await served.connect()
        writer.write(post(JSON, "Content-Length: 2", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")
        served.stopping.begun.set()
        await served.stopping.closing.wait()
        before = len(made)
        await assert_eventually(lambda: len(made) > before)
        writer.write(b"{}")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert int(head.split(b"date: date ")[1].split()[0]) > before
        writer.close()


@pytest.mark.parametrize("server", SERVERS)
async def test_an_answer_that_takes_a_while_comes_to_a_sender_that_closed_its_half(server: Server) -> None:
    app = Stream(parts=3)
    async with running(app, server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PAGE)
        writer.write_eof()
        assert b"last" in await reader.read(-1)
        assert not app.gone.is_set()
        writer.close()
