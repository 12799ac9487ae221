"""Publishing to the intake queue while the store, or what it says, isn't known."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from hookline.intake.queue_publisher import Publisher
from hookline.kernel.errors import PossiblyStored, ServiceUnavailable, StoreError
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.telemetry.store_problem import EVERY, WATCH, StoreProblem
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline.testing.eventually import assert_eventually


@pytest.mark.cluster_rule("C21")
@pytest.mark.parametrize(("unanswered", "behind", "accepts"), [(59, 59, True), (61, 0, False), (0, 61, False)])
async def test_messages_are_accepted_while_flows_and_credentials_are_new_enough(
    unanswered: float, behind: float, accepts: bool
) -> None:
    clock = ManualClock()
    envelope = Envelopes(clock).make()

    async def publish(_envelope: Any) -> Accepted:
        return Accepted(envelope.execution_id)

    publisher = Publisher(
        cast(Any, SimpleNamespace(publish=publish)),
        cast(Any, None),
        clock,
        structlog.get_logger(),
        cast(Any, SimpleNamespace(unanswered_for=lambda: unanswered)),
        timedelta(minutes=1),
        # The database answers, and its changes can't be adopted.
        cast(Any, SimpleNamespace(behind_for=lambda: behind)),
    )
    if accepts:
        assert await publisher.publish(envelope) == Accepted(envelope.execution_id)
    else:
        with pytest.raises(ServiceUnavailable):
            await publisher.publish(envelope)


class Stores:
    """A store that knows the key of an earlier message, the store of files, and an intake queue."""

    def __init__(self) -> None:
        self.store_fails = False
        self.files_fail = False
        self.lookups = 0
        self.queued = 0

    async def ping_store(self) -> None:
        if self.store_fails:
            raise StoreError("the store is away")

    async def ping_files(self) -> None:
        if self.files_fail:
            raise StoreError("the bucket is away")

    async def accepted_as(self, flow_id: str, dedupe_key: str, at: datetime) -> str:
        self.lookups += 1
        await self.ping_store()
        return "first"

    async def publish(self, envelope: Any) -> Accepted:
        self.queued += 1
        return Accepted(envelope.execution_id)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
async def problem(stores: Stores, clock: ManualClock) -> AsyncIterator[StoreProblem]:
    store = cast(Any, SimpleNamespace(ping=stores.ping_store))
    files = cast(Any, SimpleNamespace(ping=stores.ping_files))
    problem = StoreProblem(store, files, clock, structlog.get_logger(), watches=True)
    task = asyncio.create_task(problem.run())
    yield problem
    task.cancel()
    await asyncio.wait((task,))


@pytest.fixture
def publisher(stores: Stores, problem: StoreProblem, clock: ManualClock) -> Publisher:
    queue, log = cast(Any, stores), structlog.get_logger()
    return Publisher(queue, cast(Any, stores), clock, log, problem, timedelta(minutes=1))


@pytest.mark.cluster_rule("C20", "C21")
async def test_a_dedupe_key_is_looked_up_while_only_files_have_a_problem(
    stores: Stores, problem: StoreProblem, publisher: Publisher, clock: ManualClock
) -> None:
    stores.files_fail = True
    problem.report(StoreError("the bucket is away"))
    for _ in range(2):
        # Longer than messages are accepted without an answer of the store.
        for _ in range(100):
            await clock.until_sleeping(1)
            clock.advance(EVERY)
        assert problem.present
        assert await publisher.publish(Envelopes(clock).make(key="k")) == Duplicate("first")
        assert not publisher.stale
    assert stores.queued == 0


@pytest.mark.rule(38)
@pytest.mark.cluster_rule("C20")
async def test_a_message_that_may_have_left_the_queue_already_is_in_doubt_while_the_store_doesnt_answer(
    stores: Stores, publisher: Publisher, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def known(_envelope: Any) -> None:
        """The queue has had a message with the key: another one, or this one, whose acknowledgement was lost."""

    monkeypatch.setattr(stores, "publish", known)
    stores.store_fails = True
    with pytest.raises(PossiblyStored):
        await publisher.publish(Envelopes(clock).make(key="k"))


@pytest.mark.cluster_rule("C20")
async def test_a_dedupe_key_isnt_looked_up_while_the_store_itself_gives_no_answer(
    stores: Stores, problem: StoreProblem, publisher: Publisher, clock: ManualClock
) -> None:
    stores.store_fails = True
    for _ in range(3):
        envelope = Envelopes(clock).make(key="k")
        assert await publisher.publish(envelope) == Accepted(envelope.execution_id)
        await clock.until_sleeping(1)
        clock.advance(EVERY)
    assert stores.lookups == 1
    stores.store_fails = False
    clock.advance(WATCH)
    await assert_eventually(lambda: problem.store_answers)
    assert await publisher.publish(Envelopes(clock).make(key="k")) == Duplicate("first")
