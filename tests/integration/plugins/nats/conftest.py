"""A NATS server for all tests of a process, and streams of a test's own."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.own_nats import OwnNats, url_of

from hookline.discovery.plugin_loader import load_plugins
from hookline.storage.blobs import Blobs
from hookline.storage.intake_queue import IntakeQueue
from hookline.testing.clock import ManualClock

REGISTRY = load_plugins()

MakeQueue = Callable[..., Awaitable[IntakeQueue]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnNats]:
    with OwnNats(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture(autouse=True)
def early_redelivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream gives what a crashed process had to another one after 2 s, and not after 10 s."""
    monkeypatch.setattr("hookline_nats.stream_setup.ACK_WAIT", 2.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def blobs(clock: ManualClock, tmp_path: Path) -> AsyncIterator[Blobs]:
    made = REGISTRY.blob_stores["file"](f"file://{tmp_path}/blobs", clock=clock)
    yield made
    await made.close()


@pytest.fixture
def url(server: OwnNats) -> str:
    return url_of([server], f"?replicas=1&max_bytes=20MB&stream=s{uuid.uuid4().hex}")


@pytest.fixture
async def make_queue(clock: ManualClock, blobs: Blobs, url: str) -> AsyncIterator[MakeQueue]:
    made: list[IntakeQueue] = []

    async def make(at: str = url) -> IntakeQueue:
        queue = REGISTRY.intake_queues["nats"](at, clock=clock, blobs=blobs)
        await queue.open()
        made.append(queue)
        return queue

    yield make
    for queue in made:
        await queue.close()


@pytest.fixture
async def queue(make_queue: MakeQueue) -> IntakeQueue:
    return await make_queue()


@pytest.fixture
def another(make_queue: MakeQueue) -> MakeQueue:
    return make_queue


@pytest.fixture
def reopen(queue: IntakeQueue, make_queue: MakeQueue) -> MakeQueue:
    async def reopened() -> IntakeQueue:
        await queue.close()
        return await make_queue()

    return reopened
