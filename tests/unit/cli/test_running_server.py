"""What a server does beside serving: it reloads, and reports connections that it can't accept."""

import asyncio
import errno
import os
from typing import Any

import pytest
import structlog

from hookline.cli.host.process_signals import Reloading
from hookline.cli.host.server_process import report_accepting
from hookline.server_settings import Settings
from hookline.testing.clock import ManualClock
from hookline.testing.eventually import assert_eventually


class Refreshing:
    """An engine whose flows are read when the test says so."""

    def __init__(self) -> None:
        self.log = structlog.get_logger("hookline")
        self.version_switch = self
        self.begun = 0
        self.may_end = asyncio.Semaphore(0)

    async def refresh(self) -> None:
        self.begun += 1
        await self.may_end.acquire()


@pytest.mark.rule(41)
async def test_requests_to_reload_during_a_reload_cause_one_more_until_the_server_has_stopped() -> None:
    engine: Any = Refreshing()
    reloading = Reloading(engine, Settings(), None)
    running = asyncio.create_task(reloading.run())
    reloading.ask()
    await assert_eventually(lambda: engine.begun == 1)
    for _ in range(3):
        reloading.ask()
    engine.may_end.release()
    await assert_eventually(lambda: engine.begun == 2)
    engine.may_end.release()
    await assert_eventually(lambda: engine.may_end.locked())
    running.cancel()
    await asyncio.wait((running,))
    reloading.ask()
    await asyncio.sleep(0)
    assert engine.begun == 2


@pytest.mark.rule(37)
async def test_connections_that_cannot_be_accepted_are_one_problem_which_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.cli.host.server_process._ACCEPTING_AGAIN", 0)
    clock, loop = ManualClock(), asyncio.get_running_loop()
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with structlog.testing.capture_logs() as lines:
        report_accepting(structlog.get_logger("hookline"), clock)
        for _ in range(5):
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
        clock.advance(5)
        await assert_eventually(lambda: len(lines) == 2)
    assert [line["event"] for line in lines] == [
        "connections can't be accepted; trying again",
        "connections are accepted again",
    ]
