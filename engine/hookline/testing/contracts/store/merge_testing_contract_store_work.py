"""What there is to do is found, and counted."""

from datetime import timedelta

from hookline.model.execution import Outcome, State
from hookline.storage.merge_ports_changes_executions import End, Park
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class WorkContract(StoreFixtures):
    """What there is to do is found, and counted."""

    async def test_due_gives_what_waits_for_a_time_in_its_order(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        minutes = [3, 1, 2, None, 4]
        made = [envelopes.make(f"flow-{number}") for number in range(5)]
        for envelope, minute in zip(made, minutes, strict=True):
            await self._run(store, envelope)
            at = None if minute is None else now + timedelta(minutes=minute)
            await store.commit([Park(envelope.execution_id, now, at, "retry")])
        due = await store.due(None, now + timedelta(minutes=3), 10)
        assert [entry.flow_id for entry in due] == ["flow-1", "flow-2", "flow-0"]
        assert due[0].ready_at == now + timedelta(minutes=1)
        assert due[0].execution_id == made[1].execution_id
        again = await store.due(now + timedelta(minutes=1), now + timedelta(minutes=3), 1)
        assert [entry.flow_id for entry in again] == ["flow-2"]
        assert await store.next_due(now) == now + timedelta(minutes=1)
        assert await store.next_due(now + timedelta(minutes=3)) == now + timedelta(minutes=4)
        assert await store.next_due(now + timedelta(minutes=4)) is None

    async def test_queued_and_running_executions_are_not_due(self, store: Store, envelopes: Envelopes) -> None:
        await self._accept(store, envelopes.make())
        await self._run(store, envelopes.make())
        later = envelopes.clock.now() + timedelta(days=1)
        assert list(await store.due(None, later, 10)) == []

    async def test_work_is_counted_by_flow_and_state(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        assert set(await store.flows_with_work()) == set()
        oldest = clock.now()
        await self._accept(store, envelopes.make())
        clock.advance(5)
        await self._accept(store, envelopes.make())
        await self._run(store, envelopes.make())
        ended = envelopes.make("invoices")
        await self._run(store, ended)
        await store.commit([End(ended.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        waiting = envelopes.make("refunds")
        await self._run(store, waiting)
        await store.commit([Park(waiting.execution_id, clock.now(), None, "blocked: x")])
        assert set(await store.flows_with_work()) == {"orders", "refunds"}
        assert dict(await store.backlog()) == {"orders": (2, oldest)}
        assert dict(await store.counts()) == {
            ("orders", State.QUEUED): 2,
            ("orders", State.RUNNING): 1,
            ("refunds", State.WAITING): 1,
        }
