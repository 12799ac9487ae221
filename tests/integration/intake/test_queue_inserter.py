"""What is inserted from an intake queue in order, when the process ends between two commits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from hookline.intake.backlog import Backlog
from hookline.intake.queue_inserter import POSITION, Inserter
from hookline.model.message import Envelope
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept, Change, CommitResult
from hookline.storage.intake_queue import InsertInOrder
from hookline.storage.store import Store
from hookline.telemetry.live_events import Events
from hookline.telemetry.store_problem import StoreProblem
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import sqlite


class Handover:
    """An intake queue that hands over the messages after a position, and is empty then."""

    def __init__(self, *envelopes: Envelope) -> None:
        self.envelopes = envelopes

    async def run_in_order(self, after: bytes | None, insert: InsertInOrder) -> None:
        left = self.envelopes[int(after or 0) :]
        if left:
            await insert(left, b"%d" % len(self.envelopes))


class OneCommit:
    """A store whose process is ended after its first commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._committed = False

    async def cursor(self, flow_id: str) -> bytes | None:
        return await self._store.cursor(flow_id)

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self._committed:
            raise asyncio.CancelledError
        self._committed = True
        return await self._store.commit(changes)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def envelopes(clock: ManualClock) -> Envelopes:
    return Envelopes(clock)


@pytest.fixture
async def backend(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Backend]:
    backend = sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock)
    await backend.open()
    yield backend
    await backend.close()


async def insert(queue: Handover, backend: Backend, clock: ManualClock, store: Any = None) -> None:
    """Insert what is in a queue, as a process does that has just started."""
    store = store or backend.store
    problem = StoreProblem(store, cast(Any, None), clock, structlog.get_logger())
    source = cast(Any, queue)
    await Inserter(source, store, clock, Backlog(clock, 10, 10), Events(clock), problem).run_in_order()


@pytest.mark.cluster_rule("C20")
async def test_a_duplicate_becomes_an_alias_although_the_process_ends_after_the_commit_of_its_group(
    backend: Backend, clock: ManualClock, envelopes: Envelopes
) -> None:
    first = envelopes.make(key="k")
    await backend.store.commit([Accept(first)])
    again, new = envelopes.make(key="k", order_key="o"), envelopes.make(key="other", order_key="o")
    queue = Handover(again, new)
    with pytest.raises(asyncio.CancelledError):
        await insert(queue, backend, clock, OneCommit(backend.store))
    await insert(queue, backend, clock)
    assert await backend.store.aliased(again.execution_id) == first.execution_id
    assert await backend.store.aliased(new.execution_id) is None
    assert await backend.store.execution(new.execution_id) is not None
    assert await backend.store.cursor(POSITION) == b"2"


@pytest.mark.cluster_rule("C19")
async def test_messages_that_cant_be_duplicates_are_committed_together_with_their_position(
    backend: Backend, clock: ManualClock, envelopes: Envelopes
) -> None:
    made = [envelopes.make(order_key="o") for _ in range(3)]
    await insert(Handover(*made), backend, clock, OneCommit(backend.store))
    assert await backend.store.cursor(POSITION) == b"3"
    for envelope in made:
        assert await backend.store.execution(envelope.execution_id) is not None
