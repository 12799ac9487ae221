"""The journals of executions, those of replays, and the results of a foreach's items are stored."""

from datetime import timedelta

import msgspec
import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.kernel.json import encode
from hookline.model.execution import ErrorInfo, ExecutionFilter, Outcome, State, StepState
from hookline.model.foreach_progress_and_streams import STREAM, Progress
from hookline.model.message import Envelope, Result
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Change,
    CheckpointItems,
    DropEntries,
    End,
    FinishBlock,
    MarkDelivered,
    Park,
    RecordSteps,
    Start,
)
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment


class JournalContract(StoreFixtures):
    """The journals of executions, those of replays, and the results of a foreach's items are stored."""

    async def test_a_journal_is_read_as_it_was_written(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await self._run(store, envelope)
        entries = (
            envelopes.record(1, "a"),
            envelopes.record(
                2,
                "lines[3]/post",
                state=StepState.WAITING,
                output=None,
                input=None,
                error=ErrorInfo("http.503", "é", "lines[3]/post", retryable=True),
                due_at=envelope.accepted_at + timedelta(microseconds=1),
            ),
            envelopes.record(3, "b", state=StepState.SKIPPED, signal="pass", output=b'{"status":200}'),
        )
        await store.commit([RecordSteps(id_, entries[:1])])
        await store.commit([RecordSteps(id_, entries[1:])])
        assert tuple(await store.journal(id_)) == entries
        assert tuple(await store.journal(id_, after=1, limit=1)) == entries[1:2]

    async def test_an_entry_is_written_once(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        await store.commit([RecordSteps(envelope.execution_id, (envelopes.record(1),))])
        with pytest.raises(IllegalStateChange, match="entry 1"):
            await store.commit([RecordSteps(envelope.execution_id, (envelopes.record(1, output=None),))])
        (kept,) = await store.journal(envelope.execution_id)
        assert kept.output is not None

    async def test_a_reply_is_marked_as_delivered_unless_it_is_another_one_by_now(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        id_ = envelope.execution_id
        one, two, other, delivered = (encode(Result(body)) for body in (1, 2, 3, "delivered"))
        steps = (envelopes.record(1, output=one), envelopes.record(2, output=two))
        await store.commit([RecordSteps(id_, steps)])
        await store.commit([MarkDelivered(id_, 1, one, delivered), MarkDelivered(id_, 2, other, delivered)])
        await store.commit([MarkDelivered(id_, 7, one, delivered)])
        assert [entry.output for entry in await store.journal(id_)] == [delivered, two]

    async def test_blobs_of_messages_and_results_are_referred_to(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make(attachments=(attachment("in-1"), attachment("in-2")))
        await self._run(store, envelope)
        output = encode(Result("x", attachments=(attachment("out-1"),)))
        await store.commit([RecordSteps(envelope.execution_id, (envelopes.record(1, output=output),))])
        asked = ["in-1", "in-2", "out-1", *(f"other-{number}" for number in range(1000))]
        assert set(await store.referenced(asked)) == {"in-1", "in-2", "out-1"}
        assert set(await store.referenced([])) == set()


class ReplaysContract(StoreFixtures):
    """Replays of executions."""

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
        listed = await store.executions(ExecutionFilter(replay_of=first.execution_id))
        assert [one.execution.id for one in listed.items] == [again.execution_id]
        assert (await store.executions(ExecutionFilter(replay_of=other.execution_id))).items == ()

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
        RecordSteps(id_, (envelopes.record(1),)),
        Park(id_, now, now, "replay"),
    ]


class ItemsContract(StoreFixtures):
    """The progress of a foreach whose items are checkpointed together."""

    async def test_progress_takes_the_place_of_what_was_before(self, store: Store, envelopes: Envelopes) -> None:
        envelope, other = envelopes.make(), envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        await self._run(store, envelope)
        await self._run(store, other)
        inner = Progress("a[3]/b", 7, ((0, 2),), 0, at)
        await store.commit(
            [CheckpointItems(id_, Progress("a", 1_000_000, ((0, 5),), 0, at)), CheckpointItems(id_, inner)]
        )
        await store.commit([CheckpointItems(other.execution_id, Progress("a", 9, ((0, 9),), 3, at))])
        later = Progress("a", 1_000_000, ((0, 900_000), (900_007, 900_010)), 12, at + timedelta(microseconds=1))
        await store.commit([CheckpointItems(id_, later)])
        assert tuple(await store.progress(id_)) == (later, inner)
        await store.commit([FinishBlock(id_, "a")])
        assert tuple(await store.progress(id_)) == (inner,)
        assert len(await store.progress(other.execution_id)) == 1

    async def test_results_are_read_in_the_order_of_their_places(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        await self._run(store, envelope)
        done = Progress("a", 300, ((0, 300),), 0, at)
        await store.commit([CheckpointItems(id_, done, ((11, b'"l"'), (2, b"null")))])
        await store.commit([CheckpointItems(id_, done, tuple((place, b"%d" % place) for place in range(100, 300)))])
        # One that was told twice stays as it was.
        await store.commit([CheckpointItems(id_, done, ((2, b"3"),))])
        assert list(await store.item_results(id_, "a", limit=3)) == [(2, b"null"), (11, b'"l"'), (100, b"100")]
        assert [place for place, _ in await store.item_results(id_, "a", after=100)] == list(range(101, 300))
        assert list(await store.item_results(id_, "b")) == []
        await store.commit([FinishBlock(id_, "a")])
        assert list(await store.item_results(id_, "a")) == []

    async def test_entries_of_items_that_are_done_are_dropped(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await self._run(store, envelope)
        await store.commit([RecordSteps(id_, tuple(envelopes.record(seq) for seq in range(1, 6)))])
        progress = Progress("a", 5, ((0, 3),), 0, envelope.accepted_at)
        await store.commit(
            [RecordSteps(id_, (envelopes.record(6),)), CheckpointItems(id_, progress), DropEntries(id_, (2, 4, 6))]
        )
        assert [entry.seq for entry in await store.journal(id_)] == [1, 3, 5]

    async def test_only_what_runs_gets_on(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        progress = Progress("a", 5, ((0, 3),), 0, at)
        with pytest.raises(ExecutionNotFound):
            await store.commit([CheckpointItems(id_, progress)])
        await self._run(store, envelope)
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, at)])
        with pytest.raises(IllegalStateChange, match="failed"):
            await store.commit([CheckpointItems(id_, progress, ((1, b"1"),))])
        assert tuple(await store.progress(id_)) == ()
        assert list(await store.item_results(id_, "a")) == []

    async def test_a_streams_blob_is_referred_to(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        output = encode({"body": {"stream": "rows", "count": 3}})
        plain = envelopes.record(1, output=encode({"body": {"stream": "not-one", "count": 3}}))
        await store.commit(
            [RecordSteps(envelope.execution_id, (plain, envelopes.record(2, output=output, signal=STREAM)))]
        )
        assert set(await store.referenced(["rows", "not-one"])) == {"rows"}
