"""What a worker hears from its parent."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.cli.host.worker_process import Assignment, Ready, Worker, line
from hookline.service.server.fair_acceptor import SharedCounts

try:
    import uvloop
except ImportError:
    LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
else:
    LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class _Stops:
    """What a worker asks of its server."""

    def __init__(self) -> None:
        self.orphan = asyncio.Event()

    def begin(self, _name: str) -> None:
        raise AssertionError("nobody has sent a signal")

    def orphaned(self) -> None:
        self.orphan.set()


@pytest.mark.cluster_rule("C16")
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__module__)
@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
def test_a_worker_hears_of_the_end_of_its_parent(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], read: bool
) -> None:
    """A parent that ends before it has read the answer resets the socket, instead of closing it."""
    parent, control = socket.socketpair()
    counts = SharedCounts.create(1, 1)
    listening = socket.create_server(("127.0.0.1", 0))

    async def follow() -> None:
        parent.send(line(Assignment(1, 1, (listening.detach(),), counts, str(tmp_path))))
        worker = Worker(control.detach())
        for share in worker.shares:
            share.begin()
        await worker.report(Ready("http://a", "http://a", "http://a", None))
        stops: Any = _Stops()
        worker.follow(stops, lambda: None)
        if read:
            parent.recv(4096)
        parent.close()
        await asyncio.wait_for(stops.orphan.wait(), 5)
        for sock in (worker.sock, worker._control):
            sock.close()

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(follow())
    finally:
        os.close(counts)
