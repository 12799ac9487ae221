"""The parts of connections that both servers share: writes of one turn, and timers for what lasts."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hookline.service.server.connections import LastingTimer, TurnTransport


class _Socket:
    """A transport that notes each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.writes.append(data)

    def write_eof(self) -> None:
        self.writes.append(b"<end>")

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return 7


@pytest.fixture
def socket() -> _Socket:
    return _Socket()


@pytest.fixture
async def transport(socket: _Socket) -> TurnTransport:
    return TurnTransport(cast(Any, socket), asyncio.get_running_loop())


async def test_what_is_written_in_one_turn_is_sent_at_once(transport: TurnTransport, socket: _Socket) -> None:
    transport.write(b"head")
    transport.write(b"body")
    assert socket.writes == []
    assert transport.get_write_buffer_size() == len(b"headbody") + 7
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody", b"next"]


async def test_much_is_sent_without_waiting_for_the_end_of_the_turn(transport: TurnTransport, socket: _Socket) -> None:
    for _ in range(3):
        transport.write(b"x" * 40_000)
    assert socket.writes == [b"x" * 80_000]
    await asyncio.sleep(0)
    assert socket.writes == [b"x" * 80_000, b"x" * 40_000]


async def test_the_end_comes_after_what_was_written(transport: TurnTransport, socket: _Socket) -> None:
    transport.write(b"last")
    transport.write_eof()
    transport.write(b"none")
    transport.close()
    await asyncio.sleep(0)
    assert socket.writes == [b"last", b"<end>", b"none"]
    assert transport.is_closing()


async def test_nothing_is_sent_on_a_connection_that_has_gone(transport: TurnTransport, socket: _Socket) -> None:
    transport.write(b"too late")
    transport.abort()
    await asyncio.sleep(0)
    assert socket.writes == []


class _Loop:
    """A clock with one timer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Any) -> Any:
        timer = (self.now + seconds, call)
        self.timers.append(timer)
        return SimpleNamespace(cancel=lambda: self.timers.remove(timer))

    def go_to(self, now: float) -> None:
        self.now = now
        while due := [timer for timer in self.timers if timer[0] <= now]:
            self.timers.remove(due[0])
            due[0][1]()


def _timer(loop: _Loop) -> tuple[LastingTimer, list[float]]:
    called: list[float] = []
    return LastingTimer(cast(Any, loop), 10, lambda: called.append(loop.now)), called


def test_a_timer_calls_when_something_has_lasted() -> None:
    loop = _Loop()
    timer, called = _timer(loop)
    timer.begin()
    loop.go_to(9)
    assert (called, timer.running) == ([], True)
    loop.go_to(10)
    assert (called, timer.running) == ([10], False)


def test_a_timer_counts_from_the_last_beginning_and_sets_no_other() -> None:
    loop = _Loop()
    timer, called = _timer(loop)
    for now in (0, 4, 8):
        loop.go_to(now)
        timer.end()
        timer.begin()
        assert len(loop.timers) == 1
    loop.go_to(17)
    assert called == []
    loop.go_to(18)
    assert called == [18]


def test_a_timer_that_ended_calls_nothing_and_can_begin_again() -> None:
    loop = _Loop()
    timer, called = _timer(loop)
    timer.begin()
    timer.end()
    loop.go_to(30)
    assert (called, loop.timers) == ([], [])
    timer.begin()
    loop.go_to(40)
    assert called == [40]


def test_a_cancelled_timer_is_gone() -> None:
    loop = _Loop()
    timer, called = _timer(loop)
    timer.begin()
    timer.cancel()
    assert loop.timers == []
    timer.begin()
    loop.go_to(99)
    assert called == []
