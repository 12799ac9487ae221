"""What may never return is called for a bounded time, and says where it was."""

import threading

import pytest

from hookline.discovery.time_limit import KeyboardInterruptRaised, TimeLimitExceeded, call_with_time_limit
from hookline.testing.eventually import assert_eventually


def test_what_it_gives_and_raises_comes_through() -> None:
    assert call_with_time_limit(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        call_with_time_limit(lambda: 1 // 0, 5)


def test_a_keyboards_interrupt_that_it_raises_is_not_one() -> None:
    def interrupts() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterruptRaised):
        call_with_time_limit(interrupts, 5)


async def test_what_takes_too_long_is_named_with_its_line_and_abandoned() -> None:
    running, end = threading.Event(), threading.Event()
    threads = []

    def busy() -> None:
        threads.append(threading.current_thread())
        running.set()
        while not end.is_set():
            pass

    line = r"(while not end.is_set\(\):|pass)"
    with pytest.raises(
        TimeLimitExceeded, match=rf"longer than 0.1 s; it was at .*(test_time_limit|threading).py, line \d+: {line}?"
    ):
        call_with_time_limit(busy, 0.1)
    assert running.is_set()
    (thread,) = threads
    assert thread.name == "hookline time limit"
    assert thread.daemon, "the process doesn't wait for it"
    end.set()
    await assert_eventually(lambda: not thread.is_alive())
