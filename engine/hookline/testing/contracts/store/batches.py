"""Batches: each message is in exactly one batch, and the leader gets all of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.kernel.json import decode
from hookline.model.batch import JOINED, MAX_BATCH_BYTES, BatchItem, BatchPlace
from hookline.model.execution import Execution, Outcome, State, StepState
from hookline.model.message import Attachment
from hookline.storage.change_declarations import (
    BatchJoined,
    BatchLed,
    CloseBatch,
    CommitResult,
    End,
    JoinBatch,
    Park,
    Purge,
    RecordSteps,
    ReencryptBatchItem,
    Resume,
    TakeBatch,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment

_WITHIN = timedelta(seconds=10)


class BatchesContract(StoreFixtures):
    """Batches: each message is in exactly one batch, and the leader gets all of them."""

    async def _come(
        self,
        store: Store,
        envelopes: Envelopes,
        *,
        key: str = "k",
        size: int = 100,
        version: str = "v1",
        path: str = "lines",
        body: bytes = b"1",
        attachments: tuple[Attachment, ...] = (),
        due_at: datetime | None = None,
    ) -> tuple[str, CommitResult]:
        """Start an execution that arrives at the batch step at once."""
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelopes.clock.now()
        await self._run(store, envelope)
        entry = envelopes.record(1, path, use="batch", state=StepState.WAITING, output=None, due_at=due_at)
        gathered = BatchItem(id_, body, attachments)
        (result,) = await store.commit([JoinBatch(entry, "orders", version, key, size, gathered, now)])
        return id_, result

    async def _members_of(self, store: Store, leader_id: str, path: str = "lines") -> list[str]:
        return [one.execution_id for one in await store.batch_items(leader_id, path)]

    async def _leading(self, store: Store, envelopes: Envelopes, due_at: datetime | None = None) -> str:
        id_, result = await self._come(store, envelopes, due_at=due_at)
        assert result == BatchLed()
        return id_

    async def _found(self, store: Store, id_: str) -> Execution:
        execution = await store.execution(id_)
        assert execution is not None
        return execution

    async def test_the_first_leads_and_the_others_join_it_in_the_order_in_which_they_come(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        leader = await self._leading(store, envelopes)
        second, joined = await self._come(store, envelopes, body=b'{"n":2}')
        assert joined == BatchJoined(leader, 2)
        third, joined = await self._come(store, envelopes)
        assert joined == BatchJoined(leader, 3)
        assert await self._members_of(store, leader) == [leader, second, third]
        assert [one.body for one in await store.batch_items(leader, "lines")] == [b"1", b'{"n":2}', b"1"]
        assert dict(await store.batches(leader)) == {"lines": True}
        assert dict(await store.batches(second)) == {}

    async def test_the_entry_says_what_came_of_it(self, store: Store, envelopes: Envelopes) -> None:
        due_at = envelopes.clock.now() + _WITHIN
        leader = await self._leading(store, envelopes, due_at)
        member, _ = await self._come(store, envelopes, due_at=due_at)
        (entry,) = await store.journal(leader)
        assert (entry.state, entry.due_at, entry.output) == (StepState.WAITING, due_at, None)
        (entry,) = await store.journal(member)
        assert (entry.state, entry.signal, entry.due_at) == (StepState.SUCCEEDED, JOINED, None)
        assert decode(entry.output or b"") == {"body": {"batch": leader, "place": 2}}

    async def test_an_execution_of_another_key_version_or_step_has_a_batch_of_its_own(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        await self._leading(store, envelopes)
        assert (await self._come(store, envelopes, key="l"))[1] == BatchLed()
        assert (await self._come(store, envelopes, version="v2"))[1] == BatchLed()
        assert (await self._come(store, envelopes, path="route/lines"))[1] == BatchLed()

    @pytest.mark.parametrize("parked", [False, True])
    async def test_the_last_makes_the_leader_ready_and_the_next_begins_anew(
        self, store: Store, envelopes: Envelopes, clock: ManualClock, parked: bool
    ) -> None:
        leader, _ = await self._come(store, envelopes, size=2)
        park = Park(leader, clock.now(), clock.now() + _WITHIN, "batch")
        if parked:
            await store.commit([park])
        clock.advance(1)
        assert (await self._come(store, envelopes, size=2))[1] == BatchJoined(leader, 2, full=True)
        if not parked:
            await store.commit([Park(leader, clock.now(), clock.now() + _WITHIN, "batch")])
        assert (await self._found(store, leader)).ready_at == clock.now()
        assert dict(await store.batches(leader)) == {"lines": False}
        assert (await self._come(store, envelopes, size=2))[1] == BatchLed()

    async def test_one_that_comes_in_the_same_commit_as_the_end_of_the_time_is_in_one_batch_or_the_next(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        leader = await self._leading(store, envelopes)
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelopes.clock.now()
        await self._run(store, envelope)
        entry = envelopes.record(1, "lines", use="batch", state=StepState.WAITING, output=None)
        join = JoinBatch(entry, "orders", "v1", "k", 100, BatchItem(id_, b"1"), now)
        results: Sequence[CommitResult] = await store.commit([join, CloseBatch(leader, "lines")])
        gathered = await self._members_of(store, leader)
        assert (results[0], gathered) in [(BatchJoined(leader, 2), [leader, id_]), (BatchLed(), [leader])]

    async def test_what_is_closed_takes_nobody_more(self, store: Store, envelopes: Envelopes) -> None:
        leader = await self._leading(store, envelopes)
        await store.commit([CloseBatch(leader, "lines")])
        await store.commit([CloseBatch(leader, "lines")])
        assert (await self._come(store, envelopes))[1] == BatchLed()
        assert await self._members_of(store, leader) == [leader]

    async def test_who_comes_when_the_time_is_over_closes_the_batch_and_leads_the_next(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        leader = await self._leading(store, envelopes, clock.now() + _WITHIN)
        await store.commit([Park(leader, clock.now(), None, "batch")])
        clock.advance(9)
        assert isinstance((await self._come(store, envelopes))[1], BatchJoined)
        clock.advance(1)
        assert (await self._come(store, envelopes))[1] == BatchLed(closed=leader)
        assert dict(await store.batches(leader)) == {"lines": False}
        assert (await self._found(store, leader)).ready_at == clock.now()

    async def test_what_would_be_too_large_is_closed_before(self, store: Store, envelopes: Envelopes) -> None:
        half = b'"' + b"x" * (MAX_BATCH_BYTES // 2 - 3) + b'"'
        leader, _ = await self._come(store, envelopes, body=half)
        assert (await self._come(store, envelopes, body=half))[1] == BatchJoined(leader, 2)
        third, led = await self._come(store, envelopes)
        assert led == BatchLed(closed=leader)
        # One that is larger by itself is alone.
        _, led = await self._come(store, envelopes, body=half + half)
        assert led == BatchLed(closed=third)

    async def test_the_leader_refers_to_the_files_of_all(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        files = (attachment("a"), attachment("b"))
        leader, _ = await self._come(store, envelopes, attachments=files[:1])
        members = [(await self._come(store, envelopes, attachments=files))[0] for _ in range(2)]
        now = clock.now()
        await store.commit([End(one, State.SUCCEEDED, Outcome.FILTERED, now) for one in members])
        await store.commit([Purge(tuple(members), now)])
        assert set(await store.referenced(["a", "b"])) == {"a", "b"}
        gathered = await store.batch_items(leader, "lines")
        assert [one.attachments for one in gathered] == [files[:1], files, files]

    async def test_the_leader_takes_what_was_gathered_with_its_entry(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        now = clock.now()
        leader = await self._leading(store, envelopes)
        await self._come(store, envelopes)
        await store.commit([Park(leader, now, None, "batch"), CloseBatch(leader, "lines")])
        taken = envelopes.record(2, "lines", use="batch")
        await store.commit([Resume(leader, now), RecordSteps(leader, (taken,)), TakeBatch(leader, "lines")])
        assert (dict(await store.batches(leader)), await self._members_of(store, leader)) == ({}, [])

    async def test_nobody_joins_who_has_ended(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        leader = await self._leading(store, envelopes)
        await self._come(store, envelopes)
        await store.commit([End(leader, State.FAILED, Outcome.FAILED, clock.now())])
        assert (await self._come(store, envelopes))[1] == BatchLed()
        assert len(await self._members_of(store, leader)) == 2, "a retry may take them"

    async def test_what_was_gathered_is_purged_with_the_leader(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        leader = await self._leading(store, envelopes)
        await self._come(store, envelopes)
        await store.commit([End(leader, State.CANCELLED, Outcome.CANCELLED, clock.now())])
        await store.commit([Purge((leader,), clock.now())])
        assert (dict(await store.batches(leader)), await self._members_of(store, leader)) == ({}, [])

    async def test_who_has_the_entry_already_or_does_not_run_joins_nothing(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        leader = await self._leading(store, envelopes)
        member, _ = await self._come(store, envelopes)
        entry = envelopes.record(1, "lines", use="batch", state=StepState.WAITING, output=None)
        again = JoinBatch(entry, "orders", "v1", "k", 100, BatchItem(member, b"1"), clock.now())
        with pytest.raises(IllegalStateChange):
            await store.commit([again])
        queued = await self._bring(store, envelopes, State.QUEUED)
        with pytest.raises(IllegalStateChange):
            await store.commit([JoinBatch(entry, "orders", "v1", "k", 100, BatchItem(queued, b"1"), clock.now())])
        nobody = envelopes.ids.new()
        with pytest.raises(ExecutionNotFound):
            await store.commit([JoinBatch(entry, "orders", "v1", "k", 100, BatchItem(nobody, b"1"), clock.now())])
        assert await self._members_of(store, leader) == [leader, member]

    async def test_the_bodies_of_all_batches_are_paged_and_replaced_only_where_they_are_what_they_were(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        for path in ("lines", "others"):
            for number in range(3):
                await self._come(store, envelopes, path=path, body=b"%d" % number)
        assert list(await store.batch_bodies(None, 10)) == [
            (BatchPlace(leader, path, number + 1), b"%d" % number)
            for leader, path in sorted({(at.execution_id, at.path) for at, _ in await store.batch_bodies(None, 10)})
            for number in range(3)
        ]
        first = await store.batch_bodies(None, 4)
        rest = await store.batch_bodies(first[-1][0], 4)
        assert [*first, *rest] == list(await store.batch_bodies(None, 10))
        assert len(first) == 4
        assert list(await store.batch_bodies(rest[-1][0], 4)) == []
        (at, _), (other, _) = first[:2]
        await store.commit([ReencryptBatchItem(at, b"new", b"0"), ReencryptBatchItem(other, b"new", b"not it")])
        await store.commit([ReencryptBatchItem(BatchPlace("none", "lines", 1), b"new", b"0")])
        assert [body for _, body in await store.batch_bodies(None, 3)] == [b"new", b"1", b"2"]
        assert [one.body for one in await store.batch_items(at.execution_id, at.path)] == [b"new", b"1", b"2"]
