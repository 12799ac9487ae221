"""How far a foreach has got whose items are not kept one by one."""

from datetime import timedelta

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.kernel.json import encode
from hookline.model.execution import Outcome, State
from hookline.model.items import Progress
from hookline.model.merge_model_stream import STREAM
from hookline.storage.merge_ports_changes_executions import End, Record
from hookline.storage.merge_ports_changes_items import Conclude, DropEntries, Proceed
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class ItemsContract(StoreFixtures):
    """How far a foreach has got whose items are not kept one by one."""

    async def test_progress_takes_the_place_of_what_was_before(self, store: Store, envelopes: Envelopes) -> None:
        envelope, other = envelopes.make(), envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        await self._run(store, envelope)
        await self._run(store, other)
        inner = Progress("a[3]/b", 7, ((0, 2),), 0, at)
        await store.commit([Proceed(id_, Progress("a", 1_000_000, ((0, 5),), 0, at)), Proceed(id_, inner)])
        await store.commit([Proceed(other.execution_id, Progress("a", 9, ((0, 9),), 3, at))])
        later = Progress("a", 1_000_000, ((0, 900_000), (900_007, 900_010)), 12, at + timedelta(microseconds=1))
        await store.commit([Proceed(id_, later)])
        assert tuple(await store.progress(id_)) == (later, inner)
        await store.commit([Conclude(id_, "a")])
        assert tuple(await store.progress(id_)) == (inner,)
        assert len(await store.progress(other.execution_id)) == 1

    async def test_results_are_read_in_the_order_of_their_places(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        await self._run(store, envelope)
        done = Progress("a", 300, ((0, 300),), 0, at)
        await store.commit([Proceed(id_, done, ((11, b'"l"'), (2, b"null")))])
        await store.commit([Proceed(id_, done, tuple((place, b"%d" % place) for place in range(100, 300)))])
        # One that was told twice stays as it was.
        await store.commit([Proceed(id_, done, ((2, b"3"),))])
        assert list(await store.item_results(id_, "a", limit=3)) == [(2, b"null"), (11, b'"l"'), (100, b"100")]
        assert [place for place, _ in await store.item_results(id_, "a", after=100)] == list(range(101, 300))
        assert list(await store.item_results(id_, "b")) == []
        await store.commit([Conclude(id_, "a")])
        assert list(await store.item_results(id_, "a")) == []

    async def test_entries_of_items_that_are_done_are_dropped(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await self._run(store, envelope)
        await store.commit([Record(id_, tuple(envelopes.record(seq) for seq in range(1, 6)))])
        progress = Progress("a", 5, ((0, 3),), 0, envelope.accepted_at)
        await store.commit([Record(id_, (envelopes.record(6),)), Proceed(id_, progress), DropEntries(id_, (2, 4, 6))])
        assert [entry.seq for entry in await store.journal(id_)] == [1, 3, 5]

    async def test_only_what_runs_gets_on(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, at = envelope.execution_id, envelope.accepted_at
        progress = Progress("a", 5, ((0, 3),), 0, at)
        with pytest.raises(ExecutionNotFound):
            await store.commit([Proceed(id_, progress)])
        await self._run(store, envelope)
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, at)])
        with pytest.raises(IllegalStateChange, match="failed"):
            await store.commit([Proceed(id_, progress, ((1, b"1"),))])
        assert tuple(await store.progress(id_)) == ()
        assert list(await store.item_results(id_, "a")) == []

    async def test_a_streams_blob_is_referred_to(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        output = encode({"body": {"stream": "rows", "count": 3}})
        plain = envelopes.record(1, output=encode({"body": {"stream": "not-one", "count": 3}}))
        await store.commit([Record(envelope.execution_id, (plain, envelopes.record(2, output=output, signal=STREAM)))])
        assert set(await store.referenced(["rows", "not-one"])) == {"rows"}
