"""The work that is left is found: executions that are due, blocked or late, and their numbers."""

from datetime import timedelta

import pytest

from hookline.model.execution import UNTIL, Outcome, State, StepState
from hookline.storage.change_declarations import Accept, BeginWait, End, MoveWaits, Park, RecordSteps, Resume, Start
from hookline.storage.store import Held, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class WorkContract(StoreFixtures):
    """Due and unfinished executions are found and counted."""

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

    @pytest.mark.parametrize("minutes", [60, -60])
    async def test_waits_move_with_the_clock_and_named_times_do_not(
        self, store: Store, envelopes: Envelopes, minutes: int
    ) -> None:
        now, by = envelopes.clock.now(), timedelta(minutes=minutes)
        retry, fixed, queued, ended = (envelopes.make(f"flow-{number}") for number in range(4))
        due = now + timedelta(minutes=90)
        for envelope, signal in ((retry, None), (fixed, UNTIL)):
            id_ = envelope.execution_id
            entry = envelopes.record(1, state=StepState.WAITING, due_at=due, signal=signal, output=None)
            await store.commit([Accept(envelope), Start(id_, "v1", now, deadline=now + timedelta(days=1))])
            await store.commit([RecordSteps(id_, (entry,)), Park(id_, now, due, "retry")])
        await store.commit([Accept(queued)])
        await self._run(store, ended)
        await store.commit([End(ended.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)])
        before = await store.execution(ended.execution_id)

        await store.commit([MoveWaits("first", by)])
        moved = {one.flow_id: one.ready_at for one in await store.due(None, now + timedelta(days=1), 10)}
        assert moved == {"flow-0": due + by, "flow-1": due}
        for envelope, expected in ((retry, due + by), (fixed, due)):
            (entry,) = await store.journal(envelope.execution_id)
            assert entry.due_at == expected
            execution = await store.execution(envelope.execution_id)
            assert execution is not None
            assert execution.deadline_at == now + timedelta(days=1) + by
        assert await store.execution(ended.execution_id) == before

    async def test_a_repeated_move_of_waits_changes_nothing(self, store: Store, envelopes: Envelopes) -> None:
        """The caller repeats a commit of which it doesn't know whether it has taken place."""
        now, hour = envelopes.clock.now(), timedelta(hours=1)
        envelope = envelopes.make()
        await self._run(store, envelope)
        entry = envelopes.record(1, state=StepState.WAITING, due_at=now, signal=None, output=None)
        wait = BeginWait(envelope.execution_id, "ask", envelope.flow_id, "ask", None, now, now)
        park = Park(envelope.execution_id, now, now, "retry")
        await store.commit([RecordSteps(envelope.execution_id, (entry,)), wait, park])
        for move, moved in (("first", 1), ("first", 1), ("second", 2), ("second", 2)):
            await store.commit([MoveWaits(move, hour)])
            assert await store.next_due(now - hour) == now + moved * hour
            (found,) = await store.journal(envelope.execution_id)
            assert found.due_at == now + moved * hour
            assert await store.late_waits(now + moved * hour - hour, 10) == {}
            assert (await store.late_waits(now + moved * hour, 10))["orders"].count == 1

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

    async def test_ids_are_found_by_their_beginning_and_their_end(self, store: Store, envelopes: Envelopes) -> None:
        made = [envelopes.make(body=number) for number in range(4)]
        for envelope in made:
            await self._accept(store, envelope)
        ids = [envelope.execution_id for envelope in reversed(made)]
        for one in ids:
            for part in (one, one[-12:], one[-1:]):
                found = await store.matching_ids(part, 10)
                assert one in found
                assert all(each.endswith(part) or each.startswith(part) for each in found)
        assert list(await store.matching_ids(ids[0][:2], 10)) == ids
        assert list(await store.matching_ids(ids[0][:2], 3)) == ids[:3]
        assert await store.matching_ids(f"{ids[0]}0", 10) == []
        other = envelopes.make("invoices")
        await self._accept(store, other)
        assert list(await store.matching_ids(ids[0][:2], 1, {"invoices"})) == [other.execution_id]
        assert list(await store.matching_ids(ids[0][:2], 3, {"orders"})) == ids[:3]
        assert await store.matching_ids(other.execution_id, 10, {"orders", "none"}) == []

    async def test_blocked_executions_are_found_by_flow_with_the_oldest(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        begun = clock.now()
        for number, reason in enumerate(("blocked: no key", "blocked: other", "retry", "blocked: last")):
            for flow_id in ("orders", "invoices") if number == 0 else ("orders",):
                envelope = envelopes.make(flow_id)
                await self._run(store, envelope)
                await store.commit([Park(envelope.execution_id, clock.now(), None, reason)])
                clock.advance(1)
        await self._accept(store, envelopes.make("queued"))
        assert await store.blocked(10) == {
            "orders": Held(3, begun, "blocked: no key"),
            "invoices": Held(1, begun + timedelta(seconds=1), "blocked: no key"),
        }
        assert (await store.blocked(2))["orders"].count == 2
        await store.commit([Resume(envelope.execution_id, clock.now())])
        assert (await store.blocked(10))["orders"].count == 2

    async def test_waits_that_are_late_are_found_by_flow(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        now = clock.now()
        for number, late in enumerate((3, 1, 2, None)):
            for flow_id in ("orders", "invoices") if number == 0 else ("orders",):
                envelope = envelopes.make(flow_id)
                await self._run(store, envelope)
                at = None if late is None else now + timedelta(hours=late)
                wait = BeginWait(envelope.execution_id, "ask", flow_id, "ask", None, clock.now(), at)
                await store.commit([wait, Park(envelope.execution_id, clock.now(), at, "callback")])
                clock.advance(1)
        assert await store.late_waits(now, 10) == {}
        second = now + timedelta(seconds=2)
        assert await store.late_waits(now + timedelta(hours=1), 10) == {"orders": Held(1, second)}
        assert await store.late_waits(now + timedelta(hours=3), 2) == {
            "orders": Held(2, second),
            "invoices": Held(1, now + timedelta(seconds=1)),
        }
        await store.commit([MoveWaits("move", timedelta(hours=1))])
        assert await store.late_waits(now + timedelta(hours=1), 10) == {}
        assert (await store.late_waits(now + timedelta(hours=4), 10))["orders"].count == 3
