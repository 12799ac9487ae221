"""The contract of queues for ordered executions. The tests of a backend subclass `OrderContract`."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from hookline.kernel.errors import IllegalStateChange
from hookline.model.execution import Outcome, State
from hookline.model.message import Envelope
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Change,
    End,
    Park,
    ReleaseOrderKey,
    Reopen,
    Resume,
    Start,
    Unblock,
)
from hookline.storage.queue import Delivery
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes


class OrderContract:
    """The fixtures are those of `QueueContract`."""

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """The factory of messages."""
        return Envelopes(clock)

    async def _put(self, backend: Backend, envelopes: Envelopes, *keys: str, holds: bool = False) -> list[Envelope]:
        made = [envelopes.make(order_key=key, order_holds=holds) for key in keys]
        for envelope in made:
            await backend.queue.put(envelope)
        return made

    async def _end(self, backend: Backend, delivery: Delivery, now: datetime, state: State = State.SUCCEEDED) -> None:
        id_ = delivery.execution_id
        outcome = Outcome.COMPLETED if state is State.SUCCEEDED else Outcome.FAILED
        changes: list[Change] = [Start(id_, "v1", now)] if delivery.fresh else [Resume(id_, now)]
        await backend.store.commit([*changes, End(id_, state, outcome, now)])
        await delivery.ack()

    async def test_an_order_key_is_kept_with_the_message(self, backend: Backend, envelopes: Envelopes) -> None:
        envelope = envelopes.make(order_key="k", order_holds=True)
        await backend.queue.put(envelope)
        assert await backend.store.envelope(envelope.execution_id) == envelope

    async def test_executions_with_an_equal_order_key_come_one_at_a_time_in_order(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            made = await self._put(backend, envelopes, "a", "a", "a")
            for envelope in made:
                delivery = await consumer.next()
                assert delivery.execution_id == envelope.execution_id
                await consumer.nothing(backend)
                await self._end(backend, delivery, clock.now())
            await consumer.nothing(backend)

    async def test_a_line_is_as_long_as_what_has_not_ended(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        async def depths(limit: int = 10) -> list[int]:
            return [await backend.store.queue_depth("orders", key, limit) for key in ("a", "b", "c")]

        assert await depths() == [0, 0, 0]
        await self._put(backend, envelopes, "a", "a", "b", "a")
        assert await depths() == [3, 1, 0]
        assert await depths(2) == [2, 1, 0]
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            assert await depths() == [3, 1, 0]
            await self._end(backend, delivery, clock.now())
        assert await depths() == [2, 1, 0]
        assert await backend.store.queue_depth("other", "a", 10) == 0

    async def test_messages_accepted_together_run_in_order_too(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        made = [envelopes.make(order_key="a") for _ in range(5)]
        await asyncio.gather(*(backend.queue.put(envelope) for envelope in made[:3]))
        await backend.store.commit([Accept(envelope) for envelope in made[3:]])
        async with consuming(backend) as consumer:
            for envelope in made:
                delivery = await consumer.next()
                assert delivery.execution_id == envelope.execution_id
                await consumer.nothing(backend)
                await self._end(backend, delivery, clock.now())

    async def test_the_order_is_that_of_acceptance_and_not_of_ids(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        early_id, late_id = envelopes.make(order_key="a"), envelopes.make(order_key="a")
        async with consuming(backend) as consumer:
            await backend.queue.put(late_id)
            delivery = await consumer.next()
            await backend.queue.put(early_id)
            await consumer.nothing(backend)
            assert delivery.execution_id == late_id.execution_id
            await self._end(backend, delivery, clock.now())
            assert (await consumer.next()).execution_id == early_id.execution_id

    async def test_why_an_execution_waits_for_its_turn_can_be_seen(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a")
        assert [(await self._reason(backend, envelope)) for envelope in (first, second)] == [None, "order"]
        async with consuming(backend) as consumer:
            await self._end(backend, await consumer.next(), clock.now())
            assert await self._reason(backend, second) is None

    async def _reason(self, backend: Backend, envelope: Envelope) -> str | None:
        execution = await backend.store.execution(envelope.execution_id)
        assert execution is not None
        return execution.reason

    async def test_other_keys_other_flows_and_messages_without_a_key_dont_wait(
        self, backend: Backend, envelopes: Envelopes
    ) -> None:
        made = await self._put(backend, envelopes, "a", "a", "b")
        free = envelopes.make()
        other = envelopes.make(flow_id="invoices", order_key="a")
        await backend.queue.put(free)
        await backend.queue.put(other)
        async with consuming(backend) as orders, consuming(backend, "invoices") as invoices:
            taken = {delivery.execution_id for delivery in await orders.take(3)}
            assert taken == {made[0].execution_id, made[2].execution_id, free.execution_id}
            assert (await invoices.next()).execution_id == other.execution_id
            await orders.nothing(backend)

    async def test_a_long_line_of_one_key_doesnt_block_the_others(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        line = [envelopes.make(order_key="a") for _ in range(300)]
        await backend.store.commit([Accept(envelope) for envelope in line])
        async with consuming(backend) as consumer:
            head = await consumer.next()
            assert head.execution_id == line[0].execution_id
            others = await self._put(backend, envelopes, *(f"k{number}" for number in range(100)))
            for envelope in others:
                delivery = await consumer.next()
                assert delivery.execution_id == envelope.execution_id
                await self._end(backend, delivery, clock.now())
            await consumer.nothing(backend)
            await self._end(backend, head, clock.now())
            assert (await consumer.next()).execution_id == line[1].execution_id

    async def test_a_key_is_held_while_its_execution_waits(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a")
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            id_, now = first.execution_id, clock.now()
            until = now + timedelta(hours=1)
            await backend.store.commit([Start(id_, "v1", now), Park(id_, now, until, "retry")])
            await delivery.ack()
            await consumer.nothing(backend)
            clock.advance(3600)
            await backend.queue.wake("orders", id_)
            again = await consumer.next()
            assert again.execution_id == id_
            await self._end(backend, again, clock.now())
            assert (await consumer.next()).execution_id == second.execution_id

    async def test_what_waits_for_its_turn_is_not_unblocked(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a")
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            await backend.store.commit([Park(first.execution_id, clock.now(), None, "blocked: x")])
            await delivery.ack()
            await backend.store.commit([Unblock("orders", clock.now())])
            again = await consumer.next()
            assert again.execution_id == first.execution_id
            await consumer.nothing(backend)
            await backend.store.commit([Start(first.execution_id, "v1", clock.now())])
            await self._end_running(backend, again, clock)
            assert (await consumer.next()).execution_id == second.execution_id

    async def _end_running(self, backend: Backend, delivery: Delivery, clock: ManualClock) -> None:
        ended = End(delivery.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())
        await backend.store.commit([ended])
        await delivery.ack()

    async def test_a_failure_makes_way_for_the_next(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        _, second = await self._put(backend, envelopes, "a", "a")
        async with consuming(backend) as consumer:
            await self._end(backend, await consumer.next(), clock.now(), State.FAILED)
            assert (await consumer.next()).execution_id == second.execution_id

    async def test_a_failure_that_holds_its_key_lets_nobody_pass_until_it_was_retried(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock, reopen: Callable[[], Awaitable[Backend]]
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a", holds=True)
        async with consuming(backend) as consumer:
            await self._end(backend, await consumer.next(), clock.now(), State.FAILED)
            await consumer.nothing(backend)
        backend = await reopen()
        async with consuming(backend) as consumer:
            await consumer.nothing(backend)
            await backend.store.commit([Reopen(first.execution_id, clock.now())])
            await backend.queue.wake("orders", first.execution_id)
            again = await consumer.next()
            assert again.execution_id == first.execution_id
            await consumer.nothing(backend)
            await self._end(backend, again, clock.now())
            assert (await consumer.next()).execution_id == second.execution_id

    async def test_a_failure_that_holds_its_key_can_be_made_to_let_it_go(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a", holds=True)
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            with pytest.raises(IllegalStateChange):
                await backend.store.commit([ReleaseOrderKey(first.execution_id, clock.now())])
            await self._end(backend, delivery, clock.now(), State.FAILED)
            await consumer.nothing(backend)
            await backend.store.commit([ReleaseOrderKey(first.execution_id, clock.now())])
            assert (await consumer.next()).execution_id == second.execution_id

    async def test_one_that_is_retried_after_others_have_begun_goes_behind_them(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = await self._put(backend, envelopes, "a", "a")
        async with consuming(backend) as consumer:
            await self._end(backend, await consumer.next(), clock.now(), State.FAILED)
            running = await consumer.next()
            await backend.store.commit([Reopen(first.execution_id, clock.now())])
            await backend.queue.wake("orders", first.execution_id)
            await consumer.nothing(backend)
            # Nor does anything that is for the blocked let it pass.
            await backend.store.commit([Unblock("orders", clock.now())])
            await consumer.nothing(backend)
            assert running.execution_id == second.execution_id
            await self._end(backend, running, clock.now())
            again = await consumer.next()
            assert (again.execution_id, again.fresh) == (first.execution_id, False)

    async def test_a_cancelled_execution_leaves_its_line(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second, third = await self._put(backend, envelopes, "a", "a", "a")
        async with consuming(backend) as consumer:
            delivery = await consumer.next()
            assert delivery.execution_id == first.execution_id
            gone = End(second.execution_id, State.CANCELLED, Outcome.CANCELLED, clock.now())
            await backend.store.commit([gone])
            await consumer.nothing(backend)
            await self._end(backend, delivery, clock.now())
            assert (await consumer.next()).execution_id == third.execution_id

    async def test_lines_survive_a_crash(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock, reopen: Callable[[], Awaitable[Backend]]
    ) -> None:
        running, next_, other = await self._put(backend, envelopes, "a", "a", "b")
        async with consuming(backend) as consumer:
            await consumer.take(2)
            await backend.store.commit([Start(running.execution_id, "v1", clock.now())])
        again = await reopen()
        (last,) = await self._put(again, envelopes, "a")
        async with consuming(again) as consumer:
            taken = {delivery.execution_id: delivery for delivery in await consumer.take(2)}
            assert taken.keys() == {running.execution_id, other.execution_id}
            await consumer.nothing(again)
            await self._end(again, taken[running.execution_id], clock.now())
            delivery = await consumer.next()
            assert delivery.execution_id == next_.execution_id
            await self._end(again, delivery, clock.now())
            assert (await consumer.next()).execution_id == last.execution_id

    async def test_no_two_of_a_key_run_at_once_whatever_is_put_and_ended_meanwhile(
        self, backend: Backend, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        chance = random.Random(7)  # noqa: S311 - the test's own dice
        keys = {name: [envelopes.make(order_key=name) for _ in range(25)] for name in "abcd"}
        key_of = {envelope.execution_id: name for name, line in keys.items() for envelope in line}
        running: dict[str, Delivery] = {}
        seen: dict[str, list[str]] = {name: [] for name in keys}

        async def put(line: list[Envelope]) -> None:
            for envelope in line:
                await backend.queue.put(envelope)

        async with consuming(backend) as consumer:
            putting = asyncio.gather(*(put(line) for line in keys.values()))
            while running or any(len(seen[name]) < len(line) for name, line in keys.items()):
                free = [name for name, line in keys.items() if name not in running and len(seen[name]) < len(line)]
                if free and (not running or chance.random() < 0.6):
                    delivery = await consumer.next()
                    name = key_of[delivery.execution_id]
                    assert name in free
                    running[name] = delivery
                    seen[name].append(delivery.execution_id)
                else:
                    await self._end(backend, running.pop(chance.choice(sorted(running))), clock.now())
            await putting
            await consumer.nothing(backend)
        assert seen == {name: [envelope.execution_id for envelope in line] for name, line in keys.items()}
