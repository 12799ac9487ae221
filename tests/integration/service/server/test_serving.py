"""The hook behind real servers, spoken to over raw sockets: framing, early answers, slow senders."""

import asyncio
import contextlib
import errno
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from typing import Any

import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.served_hook import JSON, SERVERS, Served, post, read_response, serving, status

from hookline.kernel.errors import ConfigError, TooManyRequests
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server import connections, hypercorn_server, uvicorn_protocol
from hookline.service.server.hook_application import AsgiScope, Receive, Send
from hookline.service.server.listening import listen
from hookline.service.server.serving import Server, serve
from hookline.testing.hook_over_memory import webhook_flow

LOCAL = (ip_network("127.0.0.0/8"),)


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serving(request.param) as running:
        yield running


async def test_a_request_is_answered_and_the_connection_goes_on(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(post(JSON, "Content-Length: 7", body=b'{"a":1}'))
        head, body = await read_response(reader)
        assert status(head) == 202
        assert json.loads(body)["status"] == "queued"
        assert b"server:" not in head
    writer.close()
    await writer.wait_closed()
    assert [envelope.message.body for envelope in served.hook.intake.accepted] == [{"a": 1}] * 3
    assert served.hook.intake.accepted[0].arrival.client == "127.0.0.1"


async def test_a_sender_is_who_it_is_whatever_it_says_to_the_server(served: Served) -> None:
    answer = await served.exchange(
        post(
            JSON, "Content-Length: 2", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", close=True, body=b"{}"
        )
    )
    assert status(answer) == 202
    assert served.hook.intake.accepted[0].arrival.client == "127.0.0.1"


async def test_responses_say_when_they_were_made(served: Served) -> None:
    async def made_at() -> datetime:
        head, _, _ = (await served.exchange(post(JSON, "Content-Length: 2", close=True, body=b"{}"))).partition(
            b"\r\n\r\n"
        )
        (date,) = [line[6:] for line in head.decode().splitlines() if line.lower().startswith("date: ")]
        return parsedate_to_datetime(date)

    first = await made_at()
    async with asyncio.timeout(10):
        while await made_at() <= first:
            pass


async def test_a_204_says_nothing_of_a_body_and_the_connection_goes_on(served: Served) -> None:
    quiet = webhook_flow("quiet", accepted={"status": 204})
    served.hook.intake.flows = {"quiet": quiet}
    reader, writer = await served.connect()
    for _ in range(2):
        writer.write(post(JSON, "Content-Length: 7", path="/hook/quiet", body=b'{"a":1}'))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert status(head) == 204
        # What followed would be read as the next answer.
        assert b"content-length" not in head
        assert b"transfer-encoding" not in head
    writer.close()
    await writer.wait_closed()


async def test_chunked_bodies_are_read(served: Served) -> None:
    answer = await served.exchange(
        post(JSON, "Transfer-Encoding: chunked", close=True, body=b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')
    )
    assert status(answer) == 202
    assert served.hook.intake.accepted[0].body_json == b'{"a":1}'


async def test_head_has_no_body_and_other_pages_are_quarts(served: Served) -> None:
    answer = await served.exchange(b"HEAD /hook/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")
    answer = await served.exchange(b"GET /problems/request.schema HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"HTTP status 422" in answer
    answer = await served.exchange(b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(answer) == 404
    assert b"application/problem+json" in answer


@pytest.mark.rule(6)
async def test_length_and_chunking_together_are_400_and_nothing_behind_them_is_served(served: Served) -> None:
    hidden = post(JSON, "Content-Length: 2", body=b"{}")
    answer = await served.exchange(
        post(JSON, f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + hidden)
    )
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not served.hook.intake.accepted


@pytest.mark.rule(6)
@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 3\r\nConnection: close\r\n\r\n{}",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n{}",
        b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        b"POST /hook/orders HTTP/9.9\r\n\r\n",
        b"POST * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /hook/\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /hook/%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST http://x/hook/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /hook/orders HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 600_000 + b"\r\n\r\n",
        b"GET /hook/nope HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ],
)
async def test_malformed_requests_are_rejected_and_the_connection_closed(served: Served, data: bytes) -> None:
    answer = await served.exchange(data)
    assert answer == b"" or 400 <= status(answer) < 500, answer
    assert not served.hook.intake.accepted


async def test_a_body_that_ends_early_stores_nothing(served: Served) -> None:
    for headers, part in (("Content-Length: 1000", b'{"a'), ("Transfer-Encoding: chunked", b'3\r\n{"a\r\n')):
        answer = await served.exchange(post(JSON, headers, body=part), end=True)
        assert answer == b"" or status(answer) == 400
    for headers, part in (("Content-Length: 1000", b"da"), ("Transfer-Encoding: chunked", b"2\r\nda\r\n")):
        answer = await served.exchange(post("Content-Type: image/png", headers, body=part), end=True)
        assert answer == b"" or status(answer) == 400
    async with asyncio.timeout(30):
        while served.hook.memory_blobs.open_writers:  # noqa: ASYNC110 - bounded polling: nothing tells when
            await asyncio.sleep(0)
    assert not served.hook.intake.accepted
    assert not served.hook.memory_blobs.kept


@pytest.mark.rule(6)
async def test_a_sender_that_is_still_writing_gets_the_early_answer(served: Served) -> None:
    """Whether it stops within the bound or goes on beyond it, whether it declares its length or not."""
    piece = b"x" * 65536
    for size in (1_000_000, 20_000_000):
        for path in ("/hook/nope", "/hook/orders"):
            answer = await served.exchange(
                post(JSON, f"Content-Length: {size}", path=path), *([piece] * (size // len(piece)))
            )
            assert status(answer) == (404 if path.endswith("nope") else 413)
            assert b"connection: close" in answer.lower()
            answer = await served.exchange(
                post(JSON, "Transfer-Encoding: chunked", path=path),
                *([b"10000\r\n" + piece + b"\r\n"] * (size // len(piece))),
                b"0\r\n\r\n",
            )
            assert status(answer) == (404 if path.endswith("nope") else 413)
    assert not served.hook.intake.accepted


async def test_an_early_answer_without_a_body_keeps_the_connection(served: Served) -> None:
    answer = await served.exchange(
        b"GET /hook/nope HTTP/1.1\r\nHost: x\r\n\r\nGET /hook/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 404") == 2


async def test_a_small_body_that_is_rejected_is_read_and_the_connection_goes_on(served: Served) -> None:
    gif = "Content-Type: image/gif"
    for path, kind, code in (("/hook/nope", JSON, 404), ("/hook/orders", JSON + "\r\nContent-Encoding: odd", 415)):
        for length, body in (("Content-Length: 2", b"{}"), ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n")):
            reader, writer = await served.connect()
            writer.write(post(kind, length, path=path))
            # The body comes when the request has long been rejected.
            await asyncio.sleep(0.05)
            writer.write(body + post(gif, "Content-Length: 1", body=b"x", close=True))
            answer = await reader.read()
            assert status(answer) == code
            assert b"connection: close" not in answer.partition(b"\r\n\r\n")[0].lower()
            assert b"HTTP/1.1 202" in answer
            writer.close()
            await writer.wait_closed()


async def test_a_small_body_that_is_rejected_is_not_waited_for_long(served: Served) -> None:
    answer = await served.exchange(post(JSON, "Content-Length: 2", path="/hook/nope", body=b"{"))
    assert status(answer) == 404
    assert b"connection: close" in answer.lower()


@pytest.mark.rule(6)
async def test_a_sender_that_goes_silent_is_answered_and_the_connection_closed(served: Served) -> None:
    answer = await served.exchange(post(JSON, "Content-Length: 1000", body=b'{"a'))
    assert status(answer) == 408
    assert b"request.timeout" in answer


async def test_a_head_that_does_not_come_to_its_end_closes_the_connection(served: Served) -> None:
    for data in (b"", b"POST /hook/orders HTTP/1.1\r\nHost: x\r\nX-Sl"):
        answer = await served.exchange(data)
        assert answer == b"" or status(answer) in (400, 408)


async def test_expecting_100_continue_is_answered(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(post(JSON, "Content-Length: 2", "Expect: 100-continue", close=True))
    assert b"100" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"{}")
    assert status(await reader.read()) == 202
    writer.close()
    await writer.wait_closed()


async def test_who_expects_100_continue_and_is_rejected_is_not_asked_for_the_body(served: Served) -> None:
    for length in ("Content-Length: 2", "Content-Length: 400000", "Transfer-Encoding: chunked"):
        reader, writer = await served.connect()
        writer.write(post(JSON, length, "Expect: 100-continue", path="/hook/nope"))
        answer = await reader.read()
        assert status(answer) == 404
        assert b"HTTP/1.1 100" not in answer
        assert b"connection: close" in answer.lower()
        writer.close()
        await writer.wait_closed()


async def test_pipelined_requests_are_each_answered(served: Served) -> None:
    request = post(JSON, "Content-Length: 2", body=b"{}")
    answer = await served.exchange(request, request, post(JSON, "Content-Length: 2", body=b"{}", close=True))
    assert answer.count(b"HTTP/1.1 202") == 3
    assert len(served.hook.intake.accepted) == 3


async def test_a_busy_flow_answers_429_and_the_connection_goes_on(served: Served) -> None:
    served.hook.intake.failure = TooManyRequests(retry_after=1)
    request = post(JSON, "Content-Length: 2", body=b"{}")
    answer = await served.exchange(request, post(JSON, "Content-Length: 2", body=b"{}", close=True))
    assert answer.count(b"HTTP/1.1 429") == 2


@pytest.mark.rule(41)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_stop_lets_running_requests_end(server: Server) -> None:
    options = HookOptions("https://hooks.example", read_timeout=10)
    async with serving(server, options=options) as running:
        reader, writer = await running.connect()
        writer.write(post(JSON, "Content-Length: 2", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")
        asyncio.get_running_loop().call_later(0.3, writer.write, b"{}")
    # Leaving has set `shutdown` and waited for the server to end.
    assert status(await reader.read()) == 202
    assert len(running.hook.intake.accepted) == 1
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.rule(41)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_stop_waits_for_requests_for_a_bounded_time_and_never_answers_500(server: Server) -> None:
    options = HookOptions("https://hooks.example", read_timeout=30)
    async with serving(server, options=options) as running:
        reader, writer = await running.connect()
        writer.write(post(JSON, "Content-Length: 2", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")
    answer = await reader.read()
    assert answer == b"" or status(answer) == 503
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_stop_does_not_wait_for_idle_connections(server: Server) -> None:
    async with asyncio.timeout(30):
        async with serving(server, head_timeout=60, graceful_timeout=60) as running:
            reader, writer = await running.connect()
            writer.write(post(JSON, "Content-Length: 2", body=b"{}"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert status(head) == 202
            assert b"connection: close" not in head.lower()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_hypercorn_cuts_its_connections_when_it_is_cancelled() -> None:
    options = HookOptions("https://hooks.example", read_timeout=60)
    before = asyncio.all_tasks()
    async with serving("hypercorn", options=options, head_timeout=60, graceful_timeout=60) as running:
        reader, writer = await running.connect()
        writer.write(post(JSON, "Content-Length: 2", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")
        running.task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait((running.task,))
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
                assert answer == b"" or status(answer) == 503
    assert running.task.cancelled()
    assert not running.hook.intake.accepted
    assert asyncio.all_tasks() == before
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="choose another"):
        listen("127.0.0.1", taken.getsockname()[1])


heads = st.one_of(
    st.just(post(JSON, "Content-Length: 2", body=b"{}", close=True)),
    st.builds(
        lambda method, path, headers, body: (
            b" ".join([method, path, b"HTTP/1.1"])
            + b"\r\nHost: x\r\nConnection: close\r\n"
            + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            + b"\r\n"
            + body
        ),
        st.sampled_from([b"POST", b"GET", b"PUT", b"HEAD", b"WHAT", b"", b"po st"]),
        st.sampled_from([b"/hook/orders", b"/hook/orders/%00%ff?a=%ff", b"/hook/", b"/", b"/hook/nope?", b"*", b"//"]),
        st.lists(
            st.tuples(
                st.sampled_from(
                    [b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"Content-Encoding", b"X-Y"]
                ),
                st.sampled_from([b"0", b"2", b"99", b"chunked", b"gzip", b"application/json", b"text/xml", b"\xff\xfe"])
                | st.binary(max_size=12),
            ),
            max_size=4,
        ),
        st.sampled_from([b"", b"{}", b"{", b"2\r\n{}\r\n0\r\n\r\n", b"<a/>"]) | st.binary(max_size=30),
    ),
    st.binary(max_size=80),
)


@pytest.mark.parametrize("server", SERVERS)
def test_whatever_comes_over_a_socket_is_never_answered_with_500(server: Server) -> None:
    quick = HookOptions("https://hooks.example", max_body=1000, read_timeout=0.05)
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        running = runner.run(
            stack.enter_async_context(serving(server, options=quick, head_timeout=0.2, drain_seconds=0.05))
        )

        @settings(max_examples=100, suppress_health_check=list(HealthCheck))
        @given(heads)
        def answered(data: bytes) -> None:
            answer = runner.run(running.exchange(data, end=True))
            if answer:
                assert 200 <= status(answer) < 500 or status(answer) in (503, 505), answer
                assert not any(b"HTTP/1.1 500" in line for line in answer.split(b"\r\n")), answer

        try:
            answered()
        finally:
            runner.run(stack.aclose())


@pytest.mark.rule(42)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_connection_above_the_bound_gets_503_and_another_may_come_once_one_has_gone(server: Server) -> None:
    async with serving(server, max_connections=3, trusted_proxies=LOCAL, head_timeout=20.0) as served:
        held = [await served.connect() for _ in range(3)]
        for reader, writer in held:
            writer.write(post(JSON, "Content-Length: 2", body=b"{}"))
            assert status(await reader.readuntil(b"\r\n\r\n")) == 202
        rejected = await served.exchange(post(JSON, "Content-Length: 2", body=b"{}"))
        assert status(rejected) == 503
        assert b"retry-after: 5" in rejected.lower()
        assert json.loads(rejected.partition(b"\r\n\r\n")[2])["code"] == "request.unavailable"
        # Those that are open go on.
        reader, writer = held[0]
        writer.write(post(JSON, "Content-Length: 2", body=b"{}"))
        await reader.readuntil(b"\r\n\r\n")
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(30):
            again = post(JSON, "Content-Length: 2", body=b"{}", close=True)
            while not (await served.exchange(again)).startswith(b"HTTP/1.1 202"):  # noqa: ASYNC110 - the server's own
                await asyncio.sleep(0.05)
    assert len(served.hook.intake.accepted) == 5


@pytest.mark.parametrize("server", SERVERS)
async def test_a_flood_of_connections_is_cut_without_holding_any(server: Server) -> None:
    async with serving(server, max_connections=1, head_timeout=20.0) as served:
        _, first = await served.connect()
        first.write(b"POST /hook/orders")
        await first.drain()
        answers = await asyncio.gather(*(served.exchange(b"GET / HTTP/1.1\r\n") for _ in range(150)))
        first.close()
        assert {status(answer) for answer in answers if answer} <= {503}
        assert sum(not answer for answer in answers) >= 1


async def send_from(served: Served, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection from a local address, and send a whole request on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=(address, 0))
    writer.write(post(JSON, "Content-Length: 2", body=b"{}"))
    return reader, writer


@pytest.mark.rule(42)
@pytest.mark.parametrize("server", SERVERS)
async def test_one_address_has_at_most_half_of_the_connections(server: Server) -> None:
    async with serving(server, max_connections=6, head_timeout=20.0) as served:
        held = [await send_from(served, "127.0.0.2") for _ in range(3)]
        for reader, _ in held:
            assert status(await reader.readuntil(b"\r\n\r\n")) == 202
        reader, rejected = await send_from(served, "127.0.0.2")
        answer = await reader.read()
        assert status(answer) == 503
        assert "your address" in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
        rejected.close()
        for address in ("127.0.0.3", "127.0.0.4"):
            reader, writer = await send_from(served, address)
            assert status(await reader.readuntil(b"\r\n\r\n")) == 202
            held.append((reader, writer))
        # A place that has become free may be taken again.
        held.pop(0)[1].close()
        async with asyncio.timeout(30):
            while True:
                reader, writer = await send_from(served, "127.0.0.2")
                held.append((reader, writer))
                if status(await reader.readuntil(b"\r\n\r\n")) == 202:
                    break
        for _, writer in held:
            writer.close()


@pytest.mark.rule(42)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_trusted_proxy_may_have_all_connections(server: Server) -> None:
    async with serving(server, max_connections=4, trusted_proxies=LOCAL, head_timeout=20.0) as served:
        held = [await send_from(served, "127.0.0.2") for _ in range(4)]
        for reader, writer in held:
            assert status(await reader.readuntil(b"\r\n\r\n")) == 202
            writer.close()


@pytest.mark.rule(42)
@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_does_not_read_its_response_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    for kind in (hypercorn_server._Connection, uvicorn_protocol.FramedProtocol):
        monkeypatch.setattr(kind, "patience", 0.2)
    monkeypatch.setattr(connections, "MIN_RATE", 100_000_000.0)
    sent: list[int] = []

    async def large(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")]})
        sent.append(1)
        await send({"type": "http.response.body", "body": bytes(20_000_000)})

    async with asyncio.TaskGroup() as tasks:
        shutdown, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        settings: Any = {"port": 0, "server": server, "bound": lambda _, number: port.set_result(number)}
        tasks.create_task(serve(large, shutdown=shutdown, max_connections=1, graceful_timeout=0.1, **settings))
        _reader, writer = await asyncio.open_connection("127.0.0.1", await port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a transport of both kinds
        try:
            async with asyncio.timeout(30):
                while len(sent) < 2:
                    again, other = await asyncio.open_connection("127.0.0.1", port.result())
                    other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    with contextlib.suppress(ConnectionError):
                        await again.read(100)
                    other.transport.abort()
        finally:
            writer.transport.abort()
            shutdown.set()


async def test_a_connection_that_is_reset_while_it_closes_is_no_error_of_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """uvloop says so, asyncio's own loop does not."""
    close = TCPServer._close

    async def reset(connection: TCPServer) -> None:
        await close(connection)
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(TCPServer, "_close", reset)
    async with serving("hypercorn") as served:
        assert status(await served.exchange(post(JSON, "Content-Length: 2", close=True, body=b"{}"))) == 202
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
