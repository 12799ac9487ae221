"""Fixtures for tests over real processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess
from tests.acceptance.sink import Sink


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers in a folder, and ends those that still run."""
    made: list[ServerProcess] = []

    def make(*options: str, **keywords: object) -> ServerProcess:
        server = ForkedServer(tmp_path, *options, **keywords)  # type: ignore[arg-type]  # passed on as given
        made.append(server)
        return server

    yield make
    for server in made:
        if server.running:
            server.kill()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server that counts requests."""
    sink = Sink()
    sink.start()
    yield sink
    sink.stop()
