"""The contract of intake queues. The tests of a plugin subclass `IntakeQueueContract` and define its fixtures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from hookline.kernel.errors import StoreError
from hookline.model.message import Envelope
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.storage.intake_queue import IntakeQueue
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

#: Seconds in which a message that is there has to be handed over.
_PATIENCE = 40.0
_LARGE = 300 * 1024


class Inserted:
    """Stands for the store: what was handed over, and the position that was committed last."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.position: bytes | None = None
        self.groups: list[int] = []
        self.blocked = asyncio.Event()
        """Set when a group has come that isn't stored, because `blocks` is set."""
        self.blocks = False
        self._come = asyncio.Event()

    async def insert(self, group: Sequence[Envelope], position: bytes | None = None) -> None:
        """Store messages."""
        if self.blocks:
            self.blocked.set()
            await asyncio.Event().wait()
        self.envelopes += group
        self.groups.append(len(group))
        if position is not None:
            self.position = position
        self._come.set()

    @property
    def ids(self) -> list[str]:
        """The executions in the order in which they came."""
        return [envelope.execution_id for envelope in self.envelopes]

    async def have(self, count: int) -> None:
        """Return when so many messages have come."""
        async with asyncio.timeout(_PATIENCE):
            while len(self.envelopes) < count:
                self._come.clear()
                await self._come.wait()


@asynccontextmanager
async def handing_over(queue: IntakeQueue, inserted: Inserted | None = None) -> AsyncIterator[Inserted]:
    """Both kinds of messages are handed over while the block runs."""
    inserted = inserted or Inserted()
    tasks = [
        asyncio.ensure_future(queue.run(inserted.insert)),
        asyncio.ensure_future(queue.run_in_order(inserted.position, inserted.insert)),
    ]
    try:
        yield inserted
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks), "handing over has ended by itself"


async def is_empty(queue: IntakeQueue) -> None:
    """Return when nothing is left in the queue: acknowledgements take a moment."""

    async def empty() -> bool:
        return await queue.oldest() is None

    await _happens(empty)


async def _happens(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not await condition():  # noqa: ASYNC110 - nothing tells when it happens
            await asyncio.sleep(0.02)


class IntakeQueueContract:
    """Fixtures to define: `clock`, a ManualClock at the present; `blobs`; `queue`, open and empty; `reopen`; and
    `another`.

    `reopen()` ends the queue like a crash of the process, and returns a new one over the same messages. `another()`
    returns a second one, as another process has it.
    """

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """The factory of messages."""
        return Envelopes(clock)

    async def test_a_published_message_is_handed_over_as_it_was_and_leaves(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        made = [
            envelopes.make(body={"a": [1, 2.5, None, "ü"]}, key="k"),
            envelopes.make("invoices", body="text"),
            envelopes.make(body=1, order_key="o", order_holds=True),
        ]
        for envelope in made:
            assert await queue.publish(envelope) == Accepted(envelope.execution_id)
        async with handing_over(queue) as inserted:
            await inserted.have(3)
            await is_empty(queue)
        assert sorted(inserted.envelopes, key=lambda one: one.execution_id) == made

    async def test_what_is_published_while_messages_are_handed_over_follows(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        async with handing_over(queue) as inserted:
            for number in range(3):
                await queue.publish(envelopes.make())
                await queue.publish(envelopes.make(order_key="o"))
                await inserted.have(2 * number + 2)
            await is_empty(queue)

    async def test_a_repeated_publish_of_one_message_is_no_duplicate(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        for envelope in (envelopes.make(), envelopes.make(key="k"), envelopes.make(order_key="o")):
            assert await queue.publish(envelope) == Accepted(envelope.execution_id)
            assert await queue.publish(envelope) == Accepted(envelope.execution_id)
        async with handing_over(queue) as inserted:
            await inserted.have(3)
            await is_empty(queue)
        assert len(inserted.envelopes) == 3

    async def test_a_message_with_a_key_that_is_in_the_queue_is_a_duplicate(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        first, again = envelopes.make(key="k\r\nNats: ü"), envelopes.make(key="k\r\nNats: ü")
        other_flow, other_key = envelopes.make("invoices", key="k\r\nNats: ü"), envelopes.make(key="other")
        await queue.publish(first)
        assert await queue.publish(again) == Duplicate(first.execution_id)
        assert await queue.publish(other_flow) == Accepted(other_flow.execution_id)
        assert await queue.publish(other_key) == Accepted(other_key.execution_id)
        async with handing_over(queue) as inserted:
            await inserted.have(3)
            await is_empty(queue)
        assert sorted(inserted.ids) == sorted(one.execution_id for one in (first, other_flow, other_key))

    async def test_of_messages_with_one_key_at_once_one_is_accepted(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        made = [envelopes.make(key="k") for _ in range(20)]
        results = await asyncio.gather(*map(queue.publish, made))
        (first,) = [one for one in results if isinstance(one, Accepted)]
        assert results.count(Duplicate(first.execution_id)) == 19

    async def test_a_key_is_free_when_its_window_is_over(
        self, queue: IntakeQueue, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = envelopes.make(key="k", window=timedelta(seconds=30))
        await queue.publish(first)
        clock.advance(30)
        later = envelopes.make(key="k", window=timedelta(seconds=30))
        assert await queue.publish(later) == Accepted(later.execution_id)

    async def test_of_a_message_that_has_left_only_the_store_knows(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        first, again = envelopes.make(key="k"), envelopes.make(key="k")
        await queue.publish(first)
        async with handing_over(queue) as inserted:
            await inserted.have(1)
            await is_empty(queue)
            assert await queue.publish(again) in (None, Duplicate(first.execution_id))
            new = await queue.publish(again, new=True)
            assert new == Accepted(again.execution_id)
            await inserted.have(2)

    async def test_what_was_not_stored_is_handed_over_again_after_a_crash(
        self, queue: IntakeQueue, envelopes: Envelopes, reopen: Callable[[], Awaitable[IntakeQueue]]
    ) -> None:
        made = [envelopes.make() for _ in range(5)] + [envelopes.make(order_key="o") for _ in range(5)]
        for envelope in made:
            await queue.publish(envelope)
        inserted = Inserted()
        inserted.blocks = True
        async with handing_over(queue, inserted):
            async with asyncio.timeout(_PATIENCE):
                await inserted.blocked.wait()
            again = await reopen()
        async with handing_over(again) as stored:
            await stored.have(10)
            await is_empty(again)
        assert set(stored.ids) == {envelope.execution_id for envelope in made}

    async def test_a_stopped_process_leaves_its_messages_to_others_at_once(
        self, queue: IntakeQueue, envelopes: Envelopes
    ) -> None:
        await queue.publish(envelopes.make())
        inserted = Inserted()
        inserted.blocks = True
        async with handing_over(queue, inserted):
            async with asyncio.timeout(_PATIENCE):
                await inserted.blocked.wait()
        async with handing_over(queue) as stored:
            await stored.have(1)

    async def test_order_is_that_of_publishing_across_crashes(
        self, queue: IntakeQueue, envelopes: Envelopes, reopen: Callable[[], Awaitable[IntakeQueue]]
    ) -> None:
        made = [envelopes.make(f"flow-{number % 3}", order_key="o") for number in range(300)]
        stored = Inserted()
        for envelope in made[:100]:
            await queue.publish(envelope)
        async with handing_over(queue, stored):
            await stored.have(50)
            stored.blocks = True
            for envelope in made[100:200]:
                await queue.publish(envelope)
            if len(stored.envelopes) < 200:
                async with asyncio.timeout(_PATIENCE):
                    await stored.blocked.wait()
            again = await reopen()
        stored.blocks = False
        for envelope in made[200:]:
            await again.publish(envelope)
        async with handing_over(again, stored):
            await stored.have(300)
            await is_empty(again)
        assert stored.ids == [envelope.execution_id for envelope in made]

    async def test_what_was_stored_before_a_crash_is_not_handed_over_again_in_order(
        self, queue: IntakeQueue, envelopes: Envelopes, reopen: Callable[[], Awaitable[IntakeQueue]]
    ) -> None:
        first, second = envelopes.make(order_key="o"), envelopes.make(order_key="o")
        await queue.publish(first)
        async with handing_over(queue) as stored:
            await stored.have(1)
        again = await reopen()
        await again.publish(second)
        async with handing_over(again, stored):
            await stored.have(2)
            await is_empty(again)
        assert stored.ids == [first.execution_id, second.execution_id]

    async def test_two_processes_share_the_messages(
        self, queue: IntakeQueue, envelopes: Envelopes, another: Callable[[], Awaitable[IntakeQueue]]
    ) -> None:
        made = [envelopes.make() for _ in range(600)]
        other = await another()
        for start in range(0, 600, 100):
            await asyncio.gather(*map(queue.publish, made[start : start + 100]))
        both = Inserted()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.run(both.insert)) for one in (queue, other)]
            await both.have(600)
            await is_empty(queue)
            for task in tasks:
                task.cancel()
        assert sorted(both.ids) == sorted(envelope.execution_id for envelope in made)

    async def test_the_oldest_message_is_known(self, queue: IntakeQueue, envelopes: Envelopes) -> None:
        assert await queue.oldest() is None
        before = datetime.now(UTC)
        await queue.publish(envelopes.make(order_key="o"))
        oldest = await queue.oldest()
        assert oldest is not None
        assert abs(oldest - before) < timedelta(minutes=1)
        await queue.publish(envelopes.make())
        assert await queue.oldest() == oldest

    @pytest.mark.parametrize("order_key", [None, "o"])
    async def test_a_large_message_is_in_the_blob_store_until_it_is_stored(
        self, queue: IntakeQueue, envelopes: Envelopes, blobs: Blobs, clock: ManualClock, order_key: str | None
    ) -> None:
        large = envelopes.make(body="x" * _LARGE, order_key=order_key)
        assert await queue.publish(large) == Accepted(large.execution_id)
        assert len(await _blobs(blobs, clock)) == 1
        async with handing_over(queue) as inserted:
            await inserted.have(1)
            await is_empty(queue)
            await _has_no_blobs(blobs, clock)
        assert inserted.envelopes == [large]

    async def test_a_large_duplicate_leaves_no_blob(
        self, queue: IntakeQueue, envelopes: Envelopes, blobs: Blobs, clock: ManualClock
    ) -> None:
        first, again = envelopes.make(body="x" * _LARGE, key="k"), envelopes.make(body="x" * _LARGE, key="k")
        await queue.publish(first)
        assert await queue.publish(again) == Duplicate(first.execution_id)
        assert len(await _blobs(blobs, clock)) == 1
        async with handing_over(queue) as inserted:
            await inserted.have(1)
        assert inserted.envelopes == [first]

    @pytest.mark.parametrize("order_key", [None, "o"])
    async def test_a_message_whose_payload_is_lost_holds_up_no_other_and_is_kept(
        self, queue: IntakeQueue, envelopes: Envelopes, blobs: Blobs, clock: ManualClock, order_key: str | None
    ) -> None:
        await queue.publish(envelopes.make(body="x" * _LARGE, order_key=order_key))
        other = envelopes.make(order_key=order_key)
        await queue.publish(other)
        for blob_id in await _blobs(blobs, clock):
            await blobs.delete(blob_id)
        async with handing_over(queue) as inserted:
            await inserted.have(1)
        assert inserted.ids == [other.execution_id]
        assert await queue.oldest() is not None

    async def test_the_name_is_the_same_for_another_process(
        self, queue: IntakeQueue, another: Callable[[], Awaitable[IntakeQueue]]
    ) -> None:
        assert queue.name
        assert (await another()).name == queue.name

    async def test_a_closed_queue_takes_nothing(self, queue: IntakeQueue, envelopes: Envelopes) -> None:
        await queue.close()
        with pytest.raises(StoreError):
            await queue.publish(envelopes.make())
        with pytest.raises(StoreError):
            await queue.oldest()


async def _blobs(blobs: Blobs, clock: ManualClock) -> list[str]:
    return [blob_id async for blob_id in blobs.older_than(clock.now() + timedelta(days=1))]


async def _has_no_blobs(blobs: Blobs, clock: ManualClock) -> None:
    async def none() -> bool:
        return not await _blobs(blobs, clock)

    await _happens(none)
