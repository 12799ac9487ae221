"""The contract of queues. The tests of a backend subclass `QueueContract` and define the fixtures that it names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from hookline.kernel.errors import StoreError
from hookline.model.execution import Outcome, State
from hookline.model.message import Envelope
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Duplicate,
    End,
    Park,
    RecordSteps,
    Resume,
    Start,
    Unblock,
)
from hookline.storage.queue import Delivery
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

#: Seconds in which a delivery that is there has to come.
_PATIENCE = 20.0


class Consumer:
    """Takes a flow's deliveries one by one."""

    def __init__(self, deliveries: AsyncIterator[Delivery]) -> None:
        self._deliveries = deliveries
        self._next: asyncio.Task[Delivery] | None = None

    def begin(self) -> asyncio.Task[Delivery]:
        """Begin to wait for the next delivery."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._deliveries))
        return self._next

    async def next(self) -> Delivery:
        """Return the next delivery; fail if none comes."""
        task = self.begin()
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
        assert done, "no delivery has come"
        self._next = None
        return task.result()

    async def poll(self) -> Delivery | None:
        """Return the next delivery if it is there."""
        if self._next is None:
            self.begin()
            await asyncio.sleep(0)
        task = self.begin()
        if not task.done():
            return None
        self._next = None
        return task.result()

    async def take(self, count: int) -> list[Delivery]:
        """Return the next deliveries."""
        return [await self.next() for _ in range(count)]

    async def nothing(self, backend: Backend) -> None:
        """Fail if a delivery comes. A few queries of the store let the queue run meanwhile."""
        task = self.begin()
        for _ in range(5):
            await backend.store.ping()
        assert not task.done(), f"there is a delivery: {task.result().execution_id}"

    async def close(self) -> None:
        """Stop consuming."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})


class _Place:
    """A place in which an execution may start at once."""

    def __init__(self, change: Start) -> None:
        self.change = change
        self.deliveries: list[Delivery] = []

    def run(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)


@asynccontextmanager
async def consuming(
    backend: Backend, flow_id: str = "orders", *, begun_only: bool = False, limit: int | None = None
) -> AsyncIterator[Consumer]:
    """A consumer of a flow, while the block runs."""
    deliveries = backend.queue.deliveries(flow_id, begun_only=begun_only, limit=limit)
    consumer = Consumer(deliveries)
    try:
        yield consumer
    finally:
        await consumer.close()
        await deliveries.aclose()


class QueueContract:
    """Fixtures to define: `clock`, a ManualClock; `backend`, open, empty, and on that clock; and `reopen`.

    `reopen()` ends the backend like a crash and returns a new one over the same data.
    """

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """The factory of messages."""
        return Envelopes(clock)

    async def test_of_a_flow_that_begins_nothing_only_what_has_begun_is_delivered(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        queued, begun, blocked, later = await self._put(backend, envelopes, 4)
        now = clock.now()
        for envelope in (begun, later):
            await backend.store.commit([Start(envelope.execution_id, "v1", now)])
        await backend.store.commit([Park(later.execution_id, now, None, "callback")])
        await backend.store.commit([Park(blocked.execution_id, now, now, "blocked: x")])
        await backend.store.commit([Park(begun.execution_id, now, now, "retry")])
        async with consuming(backend, begun_only=True) as consumer:
            assert (await consumer.next()).execution_id == begun.execution_id
            await self._put(backend, envelopes)
            await consumer.nothing(backend)
            await backend.store.commit([Unblock("orders", now)])
            await consumer.nothing(backend)
            await backend.store.commit([Resume(later.execution_id, now), Park(later.execution_id, now, now, "retry")])
            await backend.queue.wake("orders", later.execution_id)
            assert (await consumer.next()).execution_id == later.execution_id
        async with consuming(backend) as consumer:
            given = {delivery.execution_id for delivery in await consumer.take(3)}
            assert {queued.execution_id, blocked.execution_id} < given

    async def test_what_was_read_ahead_stays_where_it_is_once_nothing_more_begins(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        messages = await self._put(backend, envelopes, 3)
        async with consuming(backend) as consumer:
            first = await consumer.next()
            await first.redeliver(0)
        async with consuming(backend, begun_only=True) as consumer:
            await consumer.nothing(backend)
        async with consuming(backend) as consumer:
            given = [delivery.execution_id for delivery in await consumer.take(3)]
            assert sorted(given) == sorted(message.execution_id for message in messages)

    async def _put(self, backend: Backend, envelopes: Envelopes, count: int = 1, **fields: Any) -> list[Envelope]:
        made = [envelopes.make(body=number, **fields) for number in range(count)]
        for envelope in made:
            await backend.queue.put(envelope)
        return made

    async def _end(self, backend: Backend, delivery: Delivery, now: Any) -> None:
        if delivery.fresh:
            await backend.store.commit([Start(delivery.execution_id, "v1", now)])
        await backend.store.commit([End(delivery.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)])
        await delivery.ack()

    async def test_a_put_message_is_durable_and_delivered(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            envelope = envelopes.make(body={"a": 1})
            assert await backend.queue.put(envelope) == Accepted(envelope.execution_id)
            delivery = await consumer.next()
            assert (delivery.execution_id, delivery.flow_id) == (envelope.execution_id, "orders")
            assert delivery.fresh
            assert delivery.envelope in (None, envelope)
            assert await backend.store.envelope(envelope.execution_id) == envelope
            await self._end(backend, delivery, clock.now())
            await consumer.nothing(backend)

    async def test_a_message_whose_caller_has_no_task_is_as_durable_before_it_is_told(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        told: asyncio.Queue[Accepted | Duplicate | BaseException] = asyncio.Queue()
        async with consuming(backend) as consumer:
            first, again = envelopes.make(key="k"), envelopes.make(key="k")
            backend.queue.begin(first, told.put_nowait)
            assert told.empty()
            assert await told.get() == Accepted(first.execution_id)
            assert await backend.store.envelope(first.execution_id) == first
            assert (await consumer.next()).execution_id == first.execution_id
            backend.queue.begin(again, told.put_nowait)
            assert await told.get() == Duplicate(first.execution_id)
            await consumer.nothing(backend)

    async def test_a_message_that_starts_at_once_runs_in_its_place_and_not_at_the_consumer(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        async with consuming(backend) as consumer:
            envelope = envelopes.make(body=1)
            place = _Place(Start(envelope.execution_id, "v1", clock.now()))
            assert await backend.queue.put(envelope, at_once=place) == Accepted(envelope.execution_id)
            (delivery,) = place.deliveries
            assert (delivery.execution_id, delivery.fresh, delivery.start) == (
                envelope.execution_id,
                True,
                place.change,
            )
            stored = await backend.store.execution(envelope.execution_id)
            assert stored is not None
            assert (stored.state, stored.flow_version, stored.started_at) == (State.RUNNING, "v1", clock.now())
            await consumer.nothing(backend)
            # Given back, it is delivered like any other that has begun.
            await delivery.redeliver(0)
            again = await consumer.next()
            assert (again.execution_id, again.fresh, again.start) == (envelope.execution_id, False, None)
            await self._end(backend, again, clock.now())

    async def test_a_duplicate_starts_nothing_at_once(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, again = envelopes.make(key="k"), envelopes.make(key="k")
        await backend.queue.put(first)
        place = _Place(Start(again.execution_id, "v1", clock.now()))
        assert await backend.queue.put(again, at_once=place) == Duplicate(first.execution_id)
        assert place.deliveries == []
        assert await backend.store.execution(again.execution_id) is None

    async def test_what_started_at_once_is_delivered_again_after_a_crash(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock, reopen: Callable[[], Awaitable[Backend]]
    ) -> None:
        envelope = envelopes.make(body=1)
        place = _Place(Start(envelope.execution_id, "v1", clock.now(), b'{"a":1}', clock.now() + timedelta(hours=1)))
        await backend.queue.put(envelope, at_once=place)
        again = await reopen()
        async with consuming(again) as consumer:
            delivery = await consumer.next()
            assert (delivery.execution_id, delivery.fresh) == (envelope.execution_id, False)
        stored = await again.store.execution(envelope.execution_id)
        assert stored is not None
        assert (stored.vars, stored.deadline_at) == (b'{"a":1}', place.change.deadline)

    async def test_what_was_delivered_before_it_was_closed_is_delivered_when_it_is_open_again(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        first, second = await self._put(backend, envelopes, 2)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            assert delivery.execution_id == first.execution_id
        await backend.close()
        await backend.open()
        assert not delivery.current
        async with consuming(backend) as consumer:
            given = {one.execution_id for one in await consumer.take(2)}
            assert given == {first.execution_id, second.execution_id}

    async def test_a_duplicate_is_not_delivered(self, backend: Backend, envelopes: Envelopes) -> None:
        async with consuming(backend) as consumer:
            first, again = envelopes.make(key="k"), envelopes.make(key="k")
            await backend.queue.put(first)
            assert await backend.queue.put(again) == Duplicate(first.execution_id)
            assert (await consumer.next()).execution_id == first.execution_id
            await consumer.nothing(backend)

    async def test_what_was_put_before_anybody_consumes_waits(self, backend: Backend, envelopes: Envelopes) -> None:
        made = await self._put(backend, envelopes, 3)
        async with consuming(backend) as consumer:
            taken = await consumer.take(3)
        assert [delivery.execution_id for delivery in taken] == [envelope.execution_id for envelope in made]
        assert [delivery.envelope for delivery in taken] == made

    async def test_a_flow_gets_only_its_own_messages(self, backend: Backend, envelopes: Envelopes) -> None:
        async with consuming(backend) as orders, consuming(backend, "invoices") as invoices:
            (order,) = await self._put(backend, envelopes, flow_id="orders")
            (invoice,) = await self._put(backend, envelopes, flow_id="invoices")
            assert (await invoices.next()).execution_id == invoice.execution_id
            assert (await orders.next()).execution_id == order.execution_id
            await orders.nothing(backend)
            await invoices.nothing(backend)

    async def test_many_flows_that_begin_together_get_what_waited_and_what_comes(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        (waited,) = await self._put(backend, envelopes, flow_id="flow-7")
        async with AsyncExitStack() as stack:
            consumers = [await stack.enter_async_context(consuming(backend, f"flow-{n}")) for n in range(200)]
            for consumer in consumers:
                consumer.begin()
            assert (await consumers[7].next()).execution_id == waited.execution_id
            for number in (0, 7, 199):
                (message,) = await self._put(backend, envelopes, flow_id=f"flow-{number}")
                assert (await consumers[number].next()).execution_id == message.execution_id

    async def test_a_backlog_is_delivered_oldest_first_and_each_once(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        made = []
        async with consuming(backend) as consumer:
            first = await self._put(backend, envelopes)
            made += first
            taken = [await consumer.next()]
            for _ in range(300):
                clock.advance(0.001)
                made += await self._put(backend, envelopes)
            for number in range(300):
                taken.append(await consumer.next())
                if number % 3:
                    await self._end(backend, taken[-1], clock.now())
            await consumer.nothing(backend)
        assert [delivery.execution_id for delivery in taken] == [envelope.execution_id for envelope in made]

    async def test_messages_put_while_a_backlog_is_read_are_not_lost(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        before = await self._put(backend, envelopes, 100)
        async with consuming(backend) as consumer:
            putting = asyncio.gather(*(self._put(backend, envelopes, 20) for _ in range(10)))
            seen = []
            for _ in range(300):
                delivery = await consumer.next()
                seen.append(delivery.execution_id)
                await self._end(backend, delivery, clock.now())
            put = {envelope.execution_id for made in await putting for envelope in made}
            await consumer.nothing(backend)
        assert len(seen) == len(set(seen))
        assert set(seen) == put | {envelope.execution_id for envelope in before}

    async def test_a_delivery_that_is_out_is_not_given_again(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            await backend.queue.wake("orders", envelope.execution_id)
            await consumer.nothing(backend)
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            await self._end(backend, delivery, clock.now())
            await consumer.nothing(backend)

    async def test_what_was_read_ahead_is_given_to_the_next_consumer(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        made = await self._put(backend, envelopes, 10)
        async with consuming(backend) as consumer:
            first = await consumer.next()
        async with consuming(backend) as consumer:
            rest = await consumer.take(9)
            await consumer.nothing(backend)
        assert [delivery.execution_id for delivery in (first, *rest)] == [envelope.execution_id for envelope in made]

    async def test_a_second_consumer_takes_over(self, backend: Backend, envelopes: Envelopes) -> None:
        first = backend.queue.deliveries("orders")
        waiting = asyncio.ensure_future(anext(first))
        await asyncio.sleep(0)
        made = await self._put(backend, envelopes, 3)
        async with consuming(backend) as consumer:
            # The first consumer keeps the delivery that it took before the second one came.
            (done, _) = await asyncio.wait({waiting}, timeout=_PATIENCE)
            assert done
            mine = [] if isinstance(waiting.exception(), StopAsyncIteration) else [waiting.result()]
            taken = mine + await consumer.take(3 - len(mine))
            with pytest.raises(StopAsyncIteration):
                await anext(first)
            await consumer.nothing(backend)
        assert {delivery.execution_id for delivery in taken} == {envelope.execution_id for envelope in made}

    async def test_an_execution_to_redeliver_comes_again_when_its_time_has_come(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            await (await consumer.next()).redeliver(30)
            await consumer.nothing(backend)
            await clock.until_sleeping()
            clock.advance(29)
            await consumer.nothing(backend)
            clock.advance(1)
            again = await consumer.next()
            assert (again.execution_id, again.fresh) == (envelope.execution_id, True)
            await consumer.nothing(backend)

    async def test_an_execution_to_redeliver_that_has_started_comes_again_as_started(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            await backend.store.commit([Start(envelope.execution_id, "v1", clock.now())])
            await delivery.redeliver(0)
            again = await consumer.next()
            assert (again.execution_id, again.fresh) == (envelope.execution_id, False)
            await self._end(backend, again, clock.now())
            await consumer.nothing(backend)

    async def test_a_delivery_given_back_while_nobody_consumes_comes_to_the_next_consumer(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            await backend.store.commit([Start(envelope.execution_id, "v1", clock.now())])
        await delivery.redeliver(0)
        async with consuming(backend) as consumer:
            assert (await consumer.next()).execution_id == envelope.execution_id
            await consumer.nothing(backend)

    async def _park(self, backend: Backend, delivery: Delivery, now: Any, until: Any, reason: str = "retry") -> None:
        id_ = delivery.execution_id
        await backend.store.commit([Start(id_, "v1", now), Park(id_, now, until, reason)])
        await delivery.ack()

    async def test_a_parked_execution_is_delivered_when_it_is_woken(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            until = clock.now() + timedelta(seconds=60)
            await self._park(backend, await consumer.next(), clock.now(), until)
            await consumer.nothing(backend)
            clock.advance(60)
            await backend.queue.wake("orders", envelope.execution_id)
            woken = await consumer.next()
            assert (woken.execution_id, woken.fresh) == (envelope.execution_id, False)
            await backend.store.commit([Resume(woken.execution_id, clock.now())])
            await self._end(backend, woken, clock.now())
            await consumer.nothing(backend)

    async def test_a_wake_before_the_acknowledgement_is_not_lost(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        (envelope,) = await self._put(backend, envelopes)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            id_, now = envelope.execution_id, clock.now()
            await backend.store.commit([Start(id_, "v1", now), Park(id_, now, now, "retry")])
            await backend.queue.wake("orders", id_)
            await consumer.nothing(backend)
            await delivery.ack()
            assert (await consumer.next()).execution_id == id_

    async def test_unblocked_executions_are_delivered(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        made = await self._put(backend, envelopes, 3)
        async with consuming(backend) as consumer:
            for delivery in await consumer.take(3):
                await self._park(backend, delivery, clock.now(), None, "blocked: x")
            await consumer.nothing(backend)
            await backend.store.commit([Unblock("orders", clock.now())])
            await backend.queue.wake("orders", "")
            again = await consumer.take(3)
        assert {delivery.execution_id for delivery in again} == {envelope.execution_id for envelope in made}

    async def test_a_message_accepted_by_the_store_is_delivered(self, backend: Backend, envelopes: Envelopes) -> None:
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            envelope = envelopes.make()
            await backend.store.commit([Accept(envelope)])
            await backend.queue.wake("orders", envelope.execution_id)
            assert (await consumer.next()).execution_id == envelope.execution_id
            await consumer.nothing(backend)

    async def test_commits_with_a_value_that_cannot_be_stored_keep_no_later_message_back(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            for _ in range(100):
                bad = envelopes.make(key="\udc80")
                with pytest.raises(ValueError, match="surrogates"):
                    await backend.store.commit([Accept(envelopes.make()), Accept(bad)])
            (envelope,) = await self._put(backend, envelopes)
            assert (await consumer.next()).execution_id == envelope.execution_id
            await consumer.nothing(backend)

    async def test_a_put_whose_caller_was_cancelled_is_delivered_if_it_was_accepted(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            envelope = envelopes.make()
            putting = asyncio.ensure_future(backend.queue.put(envelope))
            await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait({putting})
            await backend.store.ping()
            if await backend.store.execution(envelope.execution_id) is not None:
                assert (await consumer.next()).execution_id == envelope.execution_id
            await consumer.nothing(backend)

    async def test_a_large_message_is_delivered_without_its_body_or_whole(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        large = envelopes.make(body="x" * 2_000_000)
        async with consuming(backend) as consumer:
            await backend.queue.put(large)
            delivery = await consumer.next()
            assert delivery.envelope in (None, large)
            assert await backend.store.envelope(large.execution_id) == large

    async def test_closing_ends_the_iteration(self, backend: Backend, envelopes: Envelopes) -> None:
        ended = asyncio.Event()

        async def consume() -> None:
            async for delivery in backend.queue.deliveries("orders"):
                await delivery.ack()
            ended.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            await backend.store.ping()
            await backend.close()
        assert ended.is_set()
        with pytest.raises(StoreError):
            await backend.queue.put(envelopes.make())
        with pytest.raises(StoreError):
            await backend.store.execution("x")

    async def test_after_a_crash_each_unfinished_execution_is_delivered_once(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock, reopen: Callable[[], Awaitable[Backend]]
    ) -> None:
        made = await self._put(backend, envelopes, 6)
        now, later = clock.now(), clock.now() + timedelta(days=1)
        queued, started, recorded, ended, timed, blocked = (envelope.execution_id for envelope in made)
        async with consuming(backend) as consumer:
            for delivery in await consumer.take(6):
                if delivery.execution_id != queued:
                    await backend.store.commit([Start(delivery.execution_id, "v1", now)])
            await backend.store.commit([RecordSteps(recorded, (envelopes.record(1),))])
            await backend.store.commit([End(ended, State.SUCCEEDED, Outcome.COMPLETED, now)])
            await backend.store.commit([Park(timed, now, later, "retry"), Park(blocked, now, None, "blocked: x")])
        again = await reopen()
        async with consuming(again) as consumer:
            taken = {delivery.execution_id: delivery for delivery in await consumer.take(3)}
            assert {id_: delivery.fresh for id_, delivery in taken.items()} == {
                queued: True,
                started: False,
                recorded: False,
            }
            for id_ in (started, recorded):
                execution = await again.store.execution(id_)
                assert execution is not None
                assert execution.state is State.RUNNING
            # To resume what is still running is harmless, and it goes on where its journal ends.
            await again.store.commit([Resume(recorded, now), RecordSteps(recorded, (envelopes.record(2),))])
            for delivery in taken.values():
                await self._end(again, delivery, now)
            await consumer.nothing(again)
            assert len(await again.store.journal(recorded)) == 2
