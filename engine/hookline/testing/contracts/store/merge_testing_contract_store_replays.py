"""Executions that do others again."""

import msgspec

from hookline.model.execution import Outcome, State
from hookline.model.message import Envelope
from hookline.storage.backend import Backend
from hookline.storage.changes import Change
from hookline.storage.merge_ports_changes_accept import Accept
from hookline.storage.merge_ports_changes_executions import End, Park, Record, Start
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class ReplaysContract(StoreFixtures):
    """Executions that do others again."""

    async def test_an_execution_says_of_which_it_is_a_replay(self, store: Store, envelopes: Envelopes) -> None:
        first, other = envelopes.make(), envelopes.make()
        again = _replay(envelopes, first)
        await self._accept(store, first, other, again)
        found = await store.execution(again.execution_id)
        assert found is not None
        assert found.replay_of == first.execution_id
        kept = await store.envelope(again.execution_id)
        assert kept is not None
        assert kept.arrival.replay_of == first.execution_id
        listed = await store.executions(replay_of=first.execution_id)
        assert [one.execution.id for one in listed.items] == [again.execution_id]
        assert (await store.executions(replay_of=other.execution_id)).items == ()

    async def test_one_that_begins_in_the_middle_is_handed_out_with_what_it_has_done(
        self, backend: Backend, store: Store, envelopes: Envelopes
    ) -> None:
        envelope = _replay(envelopes, envelopes.make())
        deliveries = backend.queue.deliveries("orders")
        await store.commit(_begun(envelopes, envelope))
        delivery = await anext(deliveries)
        assert (delivery.execution_id, delivery.fresh) == (envelope.execution_id, False)
        await delivery.ack()
        await deliveries.aclose()
        found = await store.execution(envelope.execution_id)
        assert found is not None
        assert (found.state, found.flow_version) == (State.WAITING, "v1")
        assert [entry.path for entry in await store.journal(envelope.execution_id)] == ["post"]

    async def test_one_that_begins_in_the_middle_waits_for_its_turn(self, store: Store, envelopes: Envelopes) -> None:
        before = envelopes.make(order_key="o")
        await self._run(store, before)
        envelope = msgspec.structs.replace(_replay(envelopes, before), order_key="o")
        await store.commit(_begun(envelopes, envelope))
        held = await store.execution(envelope.execution_id)
        assert held is not None
        assert (held.ready_at, held.reason) == (None, "order")
        await store.commit(
            [End(before.execution_id, State.SUCCEEDED, Outcome.COMPLETED, envelopes.clock.now(), waited=False)]
        )
        freed = await store.execution(envelope.execution_id)
        assert freed is not None
        assert freed.ready_at is not None


def _replay(envelopes: Envelopes, of: Envelope) -> Envelope:
    made = envelopes.make()
    return msgspec.structs.replace(made, arrival=msgspec.structs.replace(made.arrival, replay_of=of.execution_id))


def _begun(envelopes: Envelopes, envelope: Envelope) -> list[Change]:
    id_, now = envelope.execution_id, envelopes.clock.now()
    return [
        Accept(envelope, begun=True),
        Start(id_, "v1", now),
        Record(id_, (envelopes.record(1),)),
        Park(id_, now, now, "replay"),
    ]
