"""The contract of backends that several nodes may use. The tests of a backend subclass `ClusterContract`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import pytest

from hookline.kernel.errors import HooklineError, StoreError
from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Cancel,
    DrainNode,
    Duplicate,
    End,
    OverrideState,
    RecordSteps,
    Start,
)
from hookline.storage.limit_parts import BACKLOG, Parts, PartsMoved, PartsRequest, QueueCount
from hookline.storage.queue import Delivery
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.queue import Consumer, consuming
from hookline.testing.envelopes import Envelopes

Join = Callable[[], Awaitable[Backend]]

_PATIENCE = 20.0
_LOOK = 0.05


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not await holds():  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(_LOOK)


class ClusterContract:
    """Fixtures to define: `clock`, a ManualClock; `join`, and `silence`.

    `join()` returns another open backend over the same data: a node. `silence(backend)` ends its lease, as another node
    does if its process is paused or cut off for long. All nodes are closed at the end.
    """

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """The factory of messages."""
        return Envelopes(clock)

    async def _end(self, backend: Backend, delivery: Delivery, clock: ManualClock) -> None:
        now = clock.now()
        if delivery.fresh:
            await backend.store.commit([Start(delivery.execution_id, "v1", now)])
        await backend.store.commit([End(delivery.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)])
        await delivery.ack()

    @pytest.mark.cluster_rule("C5")
    async def test_a_node_runs_what_it_has_accepted(self, join: Join, envelopes: Envelopes, clock: ManualClock) -> None:
        one, other = await join(), await join()
        async with consuming(one) as here, consuming(other) as there:
            await here.nothing(one)
            await there.nothing(other)
            for node, consumer, rest in ((one, here, there), (other, there, here)):
                envelope = envelopes.make()
                await node.queue.put(envelope)
                delivery = await consumer.next()
                assert delivery.execution_id == envelope.execution_id
                await rest.nothing(node)
                await self._end(node, delivery, clock)
                ended = await other.store.execution(envelope.execution_id)
                assert ended is not None
                assert ended.node == node.membership.node.name

    @pytest.mark.cluster_rule("C2", "C5")
    async def test_each_message_is_delivered_to_one_node(self, join: Join, envelopes: Envelopes) -> None:
        nodes = [await join() for _ in range(3)]
        made = [envelopes.make() for _ in range(300)]
        await nodes[0].store.commit([Accept(envelope) for envelope in made])
        seen: list[str] = []

        async def take(consumer: Consumer) -> None:
            while len(seen) < len(made):
                seen.append((await consumer.next()).execution_id)

        async with AsyncExitStack() as stack:
            consumers = [await stack.enter_async_context(consuming(node)) for node in nodes]
            tasks = [asyncio.ensure_future(take(consumer)) for consumer in consumers]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=_PATIENCE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(seen) == sorted(envelope.execution_id for envelope in made)

    @pytest.mark.cluster_rule("C5")
    async def test_what_a_node_has_no_room_for_is_left_to_others(self, join: Join, envelopes: Envelopes) -> None:
        one, other = await join(), await join()
        async with consuming(one) as here:
            await here.nothing(one)
            made = [envelopes.make() for _ in range(100)]
            for envelope in made:
                await one.queue.put(envelope)
            async with consuming(other) as there:
                taken = await there.take(30)
                first = await here.take(60)
        assert not {one.execution_id for one in taken} & {one.execution_id for one in first}

    @pytest.mark.cluster_rule("C1", "C2")
    async def test_the_executions_of_a_silent_node_go_to_others_and_it_can_write_nothing_about_them(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]], envelopes: Envelopes, clock: ManualClock
    ) -> None:
        one, other = await join(), await join()
        dropped = asyncio.Event()

        async def drop() -> None:
            dropped.set()

        one.membership.on_lost = drop
        running, queued = envelopes.make(), envelopes.make()
        async with consuming(one) as here:
            for envelope in (running, queued):
                await one.queue.put(envelope)
            began = await here.next()
            await one.store.commit([Start(began.execution_id, "v1", clock.now())])
            async with consuming(other) as there:
                await silence(one)
                taken = {delivery.execution_id: delivery for delivery in await there.take(2)}
                assert taken.keys() == {running.execution_id, queued.execution_id}
                assert not taken[running.execution_id].fresh
                record = envelopes.record(1)
                with pytest.raises(HooklineError):
                    await one.store.commit([RecordSteps(running.execution_id, (record,))])
                ended = End(running.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())
                with pytest.raises(HooklineError):
                    await one.store.commit([ended])
                async with asyncio.timeout(_PATIENCE):
                    await dropped.wait()
                # The delivery that it received before is no longer valid.
                assert not began.current
                assert taken[running.execution_id].current
                await began.redeliver(0)
                await other.store.commit([RecordSteps(running.execution_id, (record,))])
                await self._end(other, taken[running.execution_id], clock)
                # It is a node again.
                await _until(partial(_accepts, one, envelopes))

    @pytest.mark.cluster_rule("C1", "C12")
    async def test_a_node_joins_again_only_when_it_has_dropped_what_it_ran(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]], envelopes: Envelopes
    ) -> None:
        one = await join()
        lost, dropped, known = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def drop() -> None:
            lost.set()
            await dropped.wait()

        async def adopt() -> None:
            await known.wait()

        one.membership.on_lost, one.membership.on_change = drop, adopt
        await silence(one)
        assert not await _accepts(one, envelopes)
        async with asyncio.timeout(_PATIENCE):
            await lost.wait()
        assert not one.membership.held
        for _ in range(3):
            assert not await _accepts(one, envelopes)
        dropped.set()
        await _until(partial(_accepts, one, envelopes))
        # Changes may have been answered without it.
        assert not one.membership.current
        assert not one.membership.held
        known.set()

        async def current() -> bool:
            return one.membership.current

        await _until(current)
        assert one.membership.held

    @pytest.mark.cluster_rule("C5")
    async def test_a_node_that_stops_leaves_all_to_others_at_once(self, join: Join, envelopes: Envelopes) -> None:
        one, other = await join(), await join()
        async with consuming(one) as here:
            made = [envelopes.make() for _ in range(3)]
            for envelope in made:
                await one.queue.put(envelope)
            await here.next()
        async with consuming(other) as there:
            await there.nothing(other)
            await one.close()
            taken = await there.take(3)
        assert {delivery.execution_id for delivery in taken} == {envelope.execution_id for envelope in made}

    @pytest.mark.cluster_rule("C6")
    async def test_an_order_key_is_one_line_over_all_nodes(
        self, join: Join, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        nodes = [await join() for _ in range(2)]
        made = [envelopes.make(order_key="k") for _ in range(6)]
        async with consuming(nodes[0]) as here, consuming(nodes[1]) as there:
            consumers = list(zip(nodes, (here, there), strict=True))
            for place, envelope in enumerate(made):
                await nodes[place % 2].queue.put(envelope)
            for envelope in made:
                node, delivery = await _first(consumers)
                assert delivery.execution_id == envelope.execution_id
                await self._end(node, delivery, clock)

    @pytest.mark.cluster_rule("C7")
    async def test_a_limit_on_what_runs_holds_over_all_nodes(
        self, join: Join, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        nodes = [await join() for _ in range(2)]
        async with consuming(nodes[0], limit=2) as here, consuming(nodes[1], limit=2) as there:
            consumers = list(zip(nodes, (here, there), strict=True))
            await here.nothing(nodes[0])
            await there.nothing(nodes[1])
            made = [envelopes.make() for _ in range(6)]
            for place, envelope in enumerate(made):
                assert not nodes[place % 2].queue.starts_at_once("orders")
                await nodes[place % 2].queue.put(envelope)
            running = [await _next(consumers) for _ in range(2)]
            ended: set[str] = set()
            while len(ended) < len(made):
                await here.nothing(nodes[0])
                await there.nothing(nodes[1])
                node, delivery = running.pop()
                await self._end(node, delivery, clock)
                ended.add(delivery.execution_id)
                if len(ended) + len(running) < len(made):
                    running.append(await _next(consumers))
        assert ended == {envelope.execution_id for envelope in made}

    @pytest.mark.cluster_rule("C7")
    async def test_a_part_of_a_rate_has_one_node_and_the_parts_of_a_lost_lease_are_used_up(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]]
    ) -> None:
        one, other = await join(), await join()

        async def want(node: Backend, wanted: int, recovers_in: float = 0.0, *, asks: bool = False) -> PartsMoved:
            request = PartsRequest("orders", "10/m", 10, 60.0, wanted, recovers_in, wanted / 2, asks)
            (moved,) = await node.membership.move_limit_parts([request])
            return moved

        assert await want(one, 10) == PartsMoved(10, Parts(10))
        assert await want(other, 4, asks=True) == PartsMoved(0, Parts(0))
        (asking,) = [row for row in await one.membership.limit_parts() if row.lease and not row.mine]
        assert (asking.count, asking.need, asking.asks) == (0, 2.0, True)
        # Those of a flow for which a node asks are always among them.
        assert len(await one.membership.limit_parts(set())) == len(await one.membership.limit_parts({"orders"})) == 3
        # The parts keep what they have to recover from.
        assert await want(one, 6, recovers_in=30.0) == PartsMoved(6, Parts(0))
        moved = await want(other, 10)
        assert (moved.count, moved.taken.count) == (4, 4)
        assert 25 < moved.taken.recovers_in <= 30
        assert sum(row.count for row in await other.membership.limit_parts()) == 10
        await silence(one)

        async def taken() -> bool:
            nonlocal moved
            moved = await want(other, 10)
            return moved.count == 10

        async def gone() -> bool:
            return [row.count for row in await other.membership.limit_parts() if row.lease] == [4]

        await _until(gone)
        await _until(taken)
        # The database's clock counts from when the other node was gone.
        assert moved.taken.count == 6
        with pytest.raises(StoreError):
            await want(one, 6)

    @pytest.mark.cluster_rule("C7")
    async def test_nodes_that_take_parts_at_the_same_time_never_have_more_than_all(self, join: Join) -> None:
        nodes = [await join() for _ in range(3)]
        request = PartsRequest("orders", "100/s", 100, 1.0, 60, 0.0, 60.0, True)
        moved = await asyncio.gather(*(node.membership.move_limit_parts([request]) for node in nodes))
        assert sorted(one.count for (one,) in moved) == [0, 40, 60]

    @pytest.mark.cluster_rule("C7")
    async def test_the_parts_of_many_limits_move_in_one_commit(self, join: Join) -> None:
        one, other = await join(), await join()

        def requests(wanted: int, *, leaves: bool = False) -> list[PartsRequest]:
            return [
                PartsRequest(f"flow-{number:03}", "10/s", 10, 1.0, wanted, 0.0, 0.0, False, leaves)
                for number in range(300)
            ]

        both = await asyncio.gather(
            one.membership.move_limit_parts(requests(6)), other.membership.move_limit_parts(requests(6)[::-1])
        )
        assert sorted((first.count, last.count) for first, last in zip(both[0], both[1][::-1], strict=True)) in (
            [(4, 6)] * 300,
            [(6, 4)] * 300,
        )
        await one.membership.move_limit_parts(requests(0, leaves=True))
        assert {moved.count for moved in await other.membership.move_limit_parts(requests(10))} == {10}
        rows = await other.membership.limit_parts({"flow-000", "flow-299"})
        assert sorted((row.name, row.mine, row.count) for row in rows) == [
            ("flow-000", False, 0),
            ("flow-000", True, 10),
            ("flow-299", False, 0),
            ("flow-299", True, 10),
        ]

    @pytest.mark.cluster_rule("C7")
    async def test_parts_of_a_backlog_are_taken_by_a_count_that_still_holds(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]], envelopes: Envelopes
    ) -> None:
        one, other = await join(), await join()
        await one.store.commit([Accept(envelopes.make()) for _ in range(3)])

        async def counted(node: Backend) -> QueueCount:
            return (await node.membership.count_queued({"orders"}))["orders"]

        async def want(node: Backend, wanted: int, unused: int, count: QueueCount | None) -> PartsMoved:
            request = PartsRequest("orders", BACKLOG, 10, 3.0, wanted, 0.0, 0.0, False, unused=unused, count=count)
            (moved,) = await node.membership.move_limit_parts([request])
            return moved

        count = await counted(other)
        assert count.queued == 3
        assert await want(one, 10, 0, None) == PartsMoved(0, Parts(0))
        assert await want(other, 10, 0, count) == PartsMoved(0, Parts(0)), "parts have moved since the count"
        assert await want(one, 10, 0, await counted(one)) == PartsMoved(7, Parts(7))
        assert await want(other, 10, 0, await counted(other)) == PartsMoved(0, Parts(0))
        # It has used two of its seven parts up, and gives three.
        await one.store.commit([Accept(envelopes.make()) for _ in range(2)])
        before = await counted(other)
        assert (await want(one, 2, 5, None)).given == 3
        assert await want(other, 10, 0, before) == PartsMoved(0, Parts(0))
        assert await want(other, 10, 0, await counted(other)) == PartsMoved(3, Parts(3))
        await silence(one)

        async def taken() -> bool:
            return await want(other, 10, 3, await counted(other)) == PartsMoved(5, Parts(2))

        # The parts of the other node are free when it is gone, without a time to recover.
        await _until(taken)

    @pytest.mark.cluster_rule("C9")
    async def test_a_message_of_a_node_that_runs_nothing_comes_to_one_that_does(
        self, join: Join, envelopes: Envelopes
    ) -> None:
        accepting, running = await join(), await join()
        async with consuming(running) as there:
            await there.nothing(running)
            envelope = envelopes.make()
            await accepting.queue.put(envelope)
            assert (await there.next()).execution_id == envelope.execution_id

    async def test_a_dedupe_key_is_taken_once_over_all_nodes(self, join: Join, envelopes: Envelopes) -> None:
        nodes = [await join() for _ in range(3)]
        results = await asyncio.gather(*(node.queue.put(envelopes.make(key="k")) for node in nodes))
        (accepted,) = [one for one in results if isinstance(one, Accepted)]
        assert [one for one in results if isinstance(one, Duplicate)] == [Duplicate(accepted.execution_id)] * 2

    @pytest.mark.cluster_rule("C10")
    async def test_a_duty_has_one_node_until_that_gives_it_or_is_gone(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]]
    ) -> None:
        one, other = await join(), await join()
        assert set(await one.membership.take(("a", "b"))) == {"a", "b"}
        assert set(await other.membership.take(("a", "c"))) == {"c"}
        assert set(await one.membership.take(("a",))) == {"a"}
        await one.membership.give("a")
        assert set(await other.membership.take(("a", "b"))) == {"a"}
        await silence(one)

        async def taken() -> bool:
            return set(await other.membership.take(("b",))) == {"b"}

        await _until(taken)

    async def test_a_request_to_cancel_reaches_the_node_that_runs_the_execution(
        self, join: Join, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        one, other = await join(), await join()
        told: list[str] = []
        one.membership.on_cancel = told.extend
        async with consuming(one) as here:
            await one.queue.put(envelopes.make())
            delivery = await here.next()
            await one.store.commit([Start(delivery.execution_id, "v1", clock.now())])
            await other.store.commit([Cancel(delivery.execution_id, clock.now())])

            async def heard() -> bool:
                return delivery.execution_id in told

            await _until(heard)

    @pytest.mark.cluster_rule("C12")
    async def test_a_change_is_adopted_by_each_node_that_lives(
        self, join: Join, silence: Callable[[Backend], Awaitable[None]], clock: ManualClock
    ) -> None:
        nodes = [await join() for _ in range(3)]
        adopted: list[int] = []

        def adopter(place: int) -> Callable[[], Awaitable[None]]:
            async def adopt() -> None:
                await asyncio.sleep(_LOOK)
                adopted.append(place)

            return adopt

        for place, node in enumerate(nodes):
            node.membership.on_change = adopter(place)
        assert not await nodes[0].membership.adopted()
        adopted.clear()
        await nodes[0].store.commit([OverrideState("orders", "paused", "active", clock.now())])
        assert not await nodes[0].membership.adopted()
        assert {1, 2} <= set(adopted)
        me = nodes[0].membership.node.name
        assert not any(node.pending for node in await nodes[0].membership.nodes() if node.name != me)

    async def test_nodes_are_listed_and_asked_to_stop(self, join: Join, clock: ManualClock) -> None:
        one, other = await join(), await join()
        asked = asyncio.Event()
        other.membership.on_drain = asked.set
        nodes: Sequence[str] = [node.lease for node in await one.membership.nodes()]
        assert len(nodes) == 2
        await one.store.commit([DrainNode(nodes[1], clock.now())])
        async with asyncio.timeout(_PATIENCE):
            await asked.wait()
        await other.close()
        left = await one.membership.nodes()
        assert [node.gone_at is None for node in left] == [True, False]


async def _accepts(backend: Backend, envelopes: Envelopes) -> bool:
    try:
        await backend.queue.put(envelopes.make(flow_id="other"))
    except StoreError:
        return False
    return True


async def _first(consumers: Sequence[tuple[Backend, Consumer]]) -> tuple[Backend, Delivery]:
    """Return the next delivery of any node; fail if two come."""
    node, delivery = await _next(consumers)
    for other, consumer in consumers:
        await consumer.nothing(other)
    return node, delivery


async def _next(consumers: Sequence[tuple[Backend, Consumer]]) -> tuple[Backend, Delivery]:
    """Return the next delivery of any node."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            for node, consumer in consumers:
                if (delivery := await consumer.poll()) is not None:
                    return node, delivery
            await asyncio.sleep(_LOOK)
