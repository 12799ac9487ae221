"""Workers that give their metrics to one another."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.telemetry import worker_metrics
from hookline.telemetry.worker_metrics import WorkerMetrics


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path has room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="hookline-") as path:
        yield Path(path)


def exposition(text: bytes) -> "worker_metrics.Exposition":
    async def give() -> bytes:
        return text + b"# EOF\n"

    return give


async def test_a_worker_gets_the_metrics_of_the_others(folder: Path) -> None:
    first, second, third = (WorkerMetrics(folder, number, 3) for number in (1, 2, 3))
    large = b"x\n" * 2_000_000
    async with first.offered(exposition(b"1\n")), second.offered(exposition(large)):
        assert await third.of_others() == [b"1\n# EOF\n", large + b"# EOF\n"]
        assert await first.of_others() == [large + b"# EOF\n", None]
    assert list(folder.iterdir()) == []


async def test_a_worker_that_does_not_answer_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_metrics, "PATIENCE", 0.1)
    first = WorkerMetrics(folder, 1, 4)
    with socket.socket(socket.AF_UNIX) as silent:
        # As one that stands still: the system takes its connections.
        silent.bind(str(folder / "metrics-2"))
        silent.listen()

        async def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"a part\n")
            writer.close()

        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(await asyncio.start_unix_server(end, folder / "metrics-3"))
            assert await first.of_others() == [None, None, None]


async def test_a_worker_takes_the_place_of_one_that_was_killed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(folder / "metrics-2"))
    async with WorkerMetrics(folder, 2, 2).offered(exposition(b"2\n")):
        assert await WorkerMetrics(folder, 1, 2).of_others() == [b"2\n# EOF\n"]
