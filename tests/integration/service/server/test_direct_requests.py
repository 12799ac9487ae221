"""Requests that the servers give to the hook itself, on connections that go on, stop or break."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import structlog
from tests.integration.served_hook import JSON, SERVERS, Served, post, read_response, serving

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.model.message import Envelope
from hookline.service.server.serving import Server
from hookline.storage.change_declarations import Accepted
from hookline.storage.queue import Stored
from hookline.testing.eventually import assert_eventually


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serving(request.param) as running:
        yield running


class Slow:
    """Stores the messages of the direct way when the test says so."""

    def __init__(self, served: Served) -> None:
        self.waiting: list[Callable[[], None]] = []
        self._begin = served.hook.intake.begin
        served.hook.intake.begin = self.begin  # type: ignore[method-assign]

    def begin(self, flow: CompiledFlow, envelope: Envelope, stored: Stored) -> None:
        self.waiting.append(partial(self._begin, flow, envelope, stored))

    def go_on(self) -> None:
        self.waiting.pop(0)()


def message(number: int) -> bytes:
    body = b"%d" % number
    return post(JSON, f"Content-Length: {len(body)}", body=body)


async def test_what_came_with_a_request_waits_for_its_answer(served: Served) -> None:
    slow = Slow(served)
    reader, writer = await served.connect()
    writer.write(message(1) + message(2) + message(3))
    for number in (1, 2, 3):
        await assert_eventually(lambda: len(slow.waiting) == 1)
        slow.go_on()
        head, _ = await read_response(reader)
        assert head.startswith(b"http/1.1 202 ")
        assert b"connection: close" not in head
        assert [envelope.message.body for envelope in served.hook.intake.accepted] == [*range(1, number + 1)]
    writer.close()


async def test_a_connection_may_have_requests_of_both_ways(served: Served) -> None:
    slow = Slow(served)
    chunked = post(JSON, "Transfer-Encoding: chunked", body=b"1\r\n5\r\n0\r\n\r\n")
    reader, writer = await served.connect()
    for direct in (True, False, True, False):
        writer.write(message(5) if direct else chunked)
        if direct:
            await assert_eventually(lambda: len(slow.waiting) == 1)
            slow.go_on()
        assert (await read_response(reader))[0].startswith(b"http/1.1 202 ")
    writer.write(message(5).replace(b"/hook/orders", b"/hook/nobody"))
    assert (await read_response(reader))[0].startswith(b"http/1.1 404 ")
    assert len(served.hook.intake.accepted) == 4
    writer.close()


async def test_both_ways_give_the_same_answer(served: Served) -> None:
    heads = []
    for request in (message(5), post(JSON, "Transfer-Encoding: chunked", body=b"1\r\n5\r\n0\r\n\r\n")):
        reader, writer = await served.connect()
        writer.write(request)
        head, _ = await read_response(reader)
        heads.append({line.partition(b":")[0] for line in head.splitlines()[1:]})
        writer.close()
    assert heads[0] == heads[1]
    assert b"content-security-policy" in heads[0]


async def test_a_message_that_is_being_stored_when_the_server_stops_gets_its_answer(served: Served) -> None:
    slow = Slow(served)
    reader, writer = await served.connect()
    writer.write(message(1))
    await assert_eventually(lambda: len(slow.waiting) == 1)
    served.stopping.begun.set()
    await served.stopping.closing.wait()
    slow.go_on()
    head, _ = await read_response(reader)
    assert head.startswith(b"http/1.1 202 ")
    assert b"\r\nconnection: close\r\n" in head
    assert await reader.read() == b""
    writer.close()
    await served.task


async def test_a_sender_that_goes_while_its_message_is_stored_harms_nobody(served: Served) -> None:
    slow = Slow(served)
    with structlog.testing.capture_logs() as logs:
        _, writer = await served.connect()
        writer.write(message(1))
        await assert_eventually(lambda: len(slow.waiting) == 1)
        writer.transport.abort()
        reader, writer = await served.connect()
        writer.write(message(2))
        await assert_eventually(lambda: len(slow.waiting) == 2)
        slow.go_on()
        await asyncio.sleep(0)
        slow.go_on()
        assert (await read_response(reader))[0].startswith(b"http/1.1 202 ")
        writer.close()
    assert [envelope.message.body for envelope in served.hook.intake.accepted] == [1, 2]
    assert logs == []


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.rule(38, 41)
async def test_a_message_that_is_stored_too_slowly_for_a_stop_is_possibly_stored(server: Server) -> None:
    async with serving(server, graceful_timeout=0.1) as served:
        slow = Slow(served)
        reader, writer = await served.connect()
        writer.write(message(1))
        await assert_eventually(lambda: len(slow.waiting) == 1)
        served.stopping.begun.set()
        async with asyncio.timeout(10):
            await served.task
            head, body = await read_response(reader)
            assert head.startswith(b"http/1.1 503 ")
            assert b"\r\nconnection: close\r\n" in head
            assert json.loads(body)["code"] == "request.possibly_stored"
            assert await reader.read() == b""
        slow.go_on()
        writer.close()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.rule(38, 41)
async def test_one_that_came_through_the_application_is_possibly_stored_too(server: Server) -> None:
    async with serving(server, graceful_timeout=0.1) as served:
        begun = asyncio.Event()

        async def accept(*_args: object, **_named: object) -> Accepted:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        served.hook.intake.accept = accept  # type: ignore[method-assign]
        reader, writer = await served.connect()
        writer.write(post(JSON, "Transfer-Encoding: chunked", body=b"1\r\n5\r\n0\r\n\r\n"))
        async with asyncio.timeout(10):
            await begun.wait()
            served.stopping.begun.set()
            await served.task
            head, body = await read_response(reader)
        assert head.startswith(b"http/1.1 503 ")
        assert json.loads(body)["code"] == "request.possibly_stored"
        writer.close()
