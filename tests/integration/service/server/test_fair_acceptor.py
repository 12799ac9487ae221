"""Several processes that accept connections of one socket: here each is an acceptor with a descriptor of its own."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from hookline.service.server import fair_acceptor
from hookline.service.server.fair_acceptor import FairAcceptor, Share, SharedCounts
from hookline.service.server.listening import listen


@pytest.fixture
def counts() -> Iterator[SharedCounts]:
    """Those of three processes and two sockets."""
    descriptor = SharedCounts.create(3, 2)
    yield SharedCounts(descriptor, 3, 2)
    os.close(descriptor)


def shares(counts: SharedCounts, number: int = 0) -> list[Share]:
    return [counts.share(worker, number) for worker in range(3)]


class Process:
    """An acceptor, and the connections that it has."""

    def __init__(self, sock: socket.socket, share: Share) -> None:
        self.open: list[asyncio.Transport] = []
        self.acceptor = FairAcceptor(sock, lambda: _Kept(self), share)


class _Kept(asyncio.Protocol):
    def __init__(self, process: Process) -> None:
        self._process = process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._process.open.append(transport)
        self._process.acceptor.opened(len(self._process.open))
        transport.write(b"!")

    def connection_lost(self, exc: Exception | None) -> None:
        self._process.open.pop()
        self._process.acceptor.opened(len(self._process.open))


Accepting = Callable[[Share], Process]


@pytest.fixture
async def accepting() -> AsyncIterator[tuple[int, Accepting]]:
    """The port of a socket, and what makes a process that accepts its connections."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(listen("127.0.0.1", 0))
        made: list[Process] = []

        def make(share: Share) -> Process:
            process = Process(stack.enter_context(first.dup()), share)
            made.append(process)
            return process

        yield first.getsockname()[1], make
        for process in made:
            process.acceptor.close()
            await process.acceptor.wait_closed()
            for transport in process.open:
                transport.abort()
        await asyncio.sleep(0)


async def connect(port: int, count: int) -> contextlib.AsyncExitStack:
    """Open connections and wait until somebody has taken each."""
    stack = contextlib.AsyncExitStack()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Without its reader, a connection would end.
        stack.callback(lambda _: writer.transport.abort(), reader)
        assert await reader.readexactly(1) == b"!"

    async with asyncio.timeout(30):
        await asyncio.gather(*(one() for _ in range(count)))
    return stack


async def test_a_burst_of_connections_is_shared_out(accepting: tuple[int, Accepting], counts: SharedCounts) -> None:
    port, make = accepting
    processes = [make(share) for share in shares(counts)]
    async with await connect(port, 60):
        assert [len(process.open) for process in processes] == pytest.approx([20, 20, 20], abs=6)


async def test_a_process_that_comes_later_gets_the_next_connections(
    accepting: tuple[int, Accepting], counts: SharedCounts
) -> None:
    port, make = accepting
    one, other, _ = shares(counts)
    first = make(one)
    async with await connect(port, 10):
        second = make(other)
        async with await connect(port, 6):
            assert (len(first.open), len(second.open)) == (10, 6)


async def test_nothing_is_left_to_a_process_that_stands_still_until_it_comes_again(
    accepting: tuple[int, Accepting], counts: SharedCounts
) -> None:
    port, make = accepting
    one, other, _ = shares(counts)
    other.begin()
    first = make(one)
    async with await connect(port, 10):
        assert len(first.open) == 10
        # It was waited for once, and not again.
        assert one.is_due()
        other.looked()
        assert not one.is_due()
        second = make(other)
        async with await connect(port, 8):
            assert len(second.open) == 8


async def test_nothing_is_left_to_a_process_that_has_ended(
    accepting: tuple[int, Accepting], counts: SharedCounts
) -> None:
    port, make = accepting
    one, other, _ = shares(counts)
    other.begin()
    first = make(one)
    counts.forget(1)
    async with await connect(port, 4):
        assert len(first.open) == 4
        assert one.is_due()


async def test_a_lack_of_descriptors_is_reported_and_accepting_goes_on(
    counts: SharedCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lacking(socket.socket):
        tries = 0

        def accept(self) -> Any:
            Lacking.tries += 1
            if Lacking.tries == 1:
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    monkeypatch.setattr(fair_acceptor, "_TRY_AGAIN", 0.01)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    with listen("127.0.0.1", 0) as sock, Lacking(fileno=sock.dup().detach()) as lacking:
        process = Process(lacking, counts.share(0, 0))
        async with await connect(sock.getsockname()[1], 1):
            assert len(process.open) == 1
        process.acceptor.close()
        await process.acceptor.wait_closed()
    assert [context["exception"].errno for context in reported] == [errno.EMFILE]
    assert "accept" in reported[0]["message"]


def test_the_next_connection_is_due_to_all_that_have_about_the_fewest(counts: SharedCounts) -> None:
    one, other, third = shares(counts)
    for share in (one, other):
        share.begin()
    one.opened(1)
    assert (one.is_due(), other.is_due()) == (True, True)
    one.opened(2)
    assert (one.is_due(), other.is_due()) == (False, True)
    # With many connections, a few more make no difference.
    one.opened(34)
    other.opened(32)
    assert one.is_due()
    one.opened(36)
    assert not one.is_due()
    other.end()
    assert one.is_due()
    third.begin()
    assert not one.is_due()


def test_each_socket_is_shared_out_by_itself(counts: SharedCounts) -> None:
    public, admin = shares(counts, 0), shares(counts, 1)
    for share in (*public, *admin):
        share.begin()
    public[0].opened(10)
    assert [share.is_due() for share in (public[0], admin[0], public[1], admin[1])] == [False, True, True, True]
    counts.forget(1)
    counts.forget(2)
    assert public[0].is_due()


def test_the_latest_arrival_is_that_of_any_process(counts: SharedCounts) -> None:
    assert counts.latest_arrival(0, 5.0) == 5.0
    assert counts.latest_arrival(1, 3.0) == 5.0
    assert counts.latest_arrival(2, 7.5) == 7.5
    assert counts.latest_arrival(0, 6.0) == 7.5
