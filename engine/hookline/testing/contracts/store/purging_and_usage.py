"""Ended executions can be purged, and the store tells the room that executions take."""

import random
from datetime import datetime, timedelta
from typing import Final

import pytest

from hookline.kernel.errors import ExecutionNotFound
from hookline.kernel.json import encode
from hookline.model.access import FOLDER
from hookline.model.deployments_and_drafts import DeployedFlow, Deployment
from hookline.model.execution import ErrorInfo, ExecutionFilter, Outcome, State
from hookline.model.foreach_progress_and_streams import Progress
from hookline.model.message import Result
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    BeginWait,
    CheckpointItems,
    Deploy,
    DismissDeadLetter,
    Duplicate,
    End,
    ForgetCallbacks,
    ForgetDedupeKeys,
    ForgetFiles,
    ForgetVersions,
    Publish,
    Purge,
    RecordSteps,
    ReleaseOrderKey,
    Reopen,
    Start,
    StoreCallback,
    TakeDedupeKeys,
)
from hookline.storage.store import FileUse, RowUsage, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment

_LARGE: Final = 20_000
"""Bytes; random, so that no database compresses them."""


class PurgingContract(StoreFixtures):
    """Ended executions can be purged; only dedupe keys with an open window stay."""

    async def test_nothing_is_left_of_an_execution_that_is_purged(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        now = clock.now()
        envelope = envelopes.make(body="x" * 100_000, attachments=(attachment("file"),))
        id_ = envelope.execution_id
        await self._run(store, envelope)
        called = StoreCallback(
            envelopes.ids.new(), id_, "wait", "orders", "wait", None, b"x", now, None, b"{}", ("called",)
        )
        await store.commit(
            [RecordSteps(id_, (envelopes.record(1),)), BeginWait(id_, "wait", "orders", "wait", None, now), called]
        )
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now, ErrorInfo("x", "x"))])
        await store.commit([DismissDeadLetter(id_, now)])
        clock.advance(1)
        assert list(await store.purgeable(None, clock.now(), 10)) == [id_]
        await store.commit([Purge((id_,), clock.now())])
        assert await store.execution(id_) is None
        assert await store.envelope(id_) is None
        assert (list(await store.journal(id_)), list(await store.waits(id_))) == ([], [])
        assert set(await store.referenced(["file", "called"])) == set()
        assert (await store.dead_letters()).items == ()
        assert list(await store.flows_with_history()) == []

    async def test_what_has_not_ended_or_was_reopened_or_holds_its_key_stays(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        reopened = await self._bring(store, envelopes, State.FAILED)
        holder = envelopes.make(order_key="k", order_holds=True)
        await self._run(store, holder)
        await store.commit([End(holder.execution_id, State.FAILED, Outcome.FAILED, clock.now())])
        open_ = [await self._bring(store, envelopes, state) for state in (State.QUEUED, State.RUNNING, State.WAITING)]
        await store.commit([Reopen(reopened, clock.now())])
        clock.advance(1)
        assert list(await store.purgeable(None, clock.now(), 10)) == []
        ids = (*open_, reopened, holder.execution_id)
        await store.commit([Purge(ids, clock.now())])
        for id_ in ids:
            assert await store.execution(id_) is not None
            assert await store.envelope(id_) is not None
        await store.commit([DismissDeadLetter(holder.execution_id, clock.now())])
        assert list(await store.purgeable(None, clock.now(), 10)) == []
        await store.commit([ReleaseOrderKey(holder.execution_id, clock.now())])
        assert list(await store.purgeable(None, clock.now(), 10)) == [holder.execution_id]

    async def test_nothing_of_a_dead_letter_is_removed_until_somebody_has_decided_on_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        for version in ("v1", "v2", "v3"):
            await store.commit([Publish("orders", version, b"{}", clock.now())])
            clock.advance(1)
        now = clock.now()
        envelope = envelopes.make(attachments=(attachment("file"),), key="k", window=timedelta(0))
        id_ = envelope.execution_id
        called = StoreCallback(envelopes.ids.new(), id_, "wait", "orders", "wait", None, b"x", now, None, b"{}")
        await store.commit(
            [Accept(envelope), Start(id_, "v1", now), BeginWait(id_, "wait", "orders", "wait", None, now)]
        )
        await store.commit([called, RecordSteps(id_, (envelopes.record(1),))])
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now, ErrorInfo("x", "x"))])
        young = await self._ended(store, envelopes)
        clock.advance(1)
        later = clock.now()

        assert list(await store.purgeable("orders", later, 10)) == [young]
        assert await store.first_too_many("orders", 1) is None
        assert list(await store.executions_with_files(later, 10)) == []
        assert list(await store.executions_with_callbacks(later, 10)) == []
        assert list(await store.spent_versions("orders", 1)) == ["v2"]
        await store.commit(
            [
                Purge((id_,), later),
                ForgetFiles((id_,), later),
                ForgetCallbacks((id_,)),
                ForgetVersions("orders", ("v1",)),
            ]
        )
        assert await store.envelope(id_) is not None
        assert set(await store.referenced(["file"])) == {"file"}
        assert len(await store.journal(id_)) == 1
        assert await store.flow_document("orders", "v1") == b"{}"
        (dead,) = (await store.dead_letters()).items
        assert (dead.newest, dead.count) == (id_, 1)

        await store.commit([DismissDeadLetter(id_, later)])
        assert list(await store.purgeable("orders", later, 10)) == [id_, young]
        assert await store.first_too_many("orders", 1) == id_
        assert list(await store.executions_with_files(later, 10)) == [id_]
        assert list(await store.executions_with_callbacks(later, 10)) == [id_]
        await store.commit([Purge((id_,), later)])
        assert await store.envelope(id_) is None

    async def test_a_key_outlives_its_execution_until_its_window_is_over(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        window = timedelta(days=7)
        envelope = envelopes.make(key="k", window=window)
        id_ = envelope.execution_id
        await self._run(store, envelope)
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x", "x"))])
        await store.commit([DismissDeadLetter(id_, clock.now())])
        clock.advance(1)
        await store.commit([Purge((id_,), clock.now())])
        assert await store.execution(id_) is None
        assert await store.envelope(id_) is None
        assert [one.execution.id for one in (await store.executions()).items] == []
        assert [one.execution.id for one in (await store.executions(ExecutionFilter(flow_id="orders"))).items] == []
        assert [one.execution.id for one in (await store.executions(ExecutionFilter(state=State.FAILED))).items] == []
        assert (await store.dead_letters()).items == ()
        assert list(await store.purgeable("orders", clock.now(), 10)) == []
        with pytest.raises(ExecutionNotFound):
            await store.commit([Reopen(id_, clock.now())])
        assert await store.accepted_as("orders", "k", clock.now()) == id_
        assert await store.commit([Accept(envelopes.make(key="k", window=window))]) == [Duplicate(id_)]
        await store.commit([ForgetDedupeKeys(clock.now())])
        assert await store.accepted_as("orders", "k", clock.now()) == id_
        clock.advance(window.total_seconds())
        await store.commit([ForgetDedupeKeys(clock.now())])
        assert list(await store.flows_with_history()) == []
        again = envelopes.make(key="k", window=window)
        assert await store.commit([Accept(again)]) == [Accepted(again.execution_id)]

    async def test_a_key_whose_window_is_over_goes_with_its_execution_or_is_taken_anew(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        ended = [await self._ended(store, envelopes, key=key, window=timedelta(seconds=10)) for key in ("a", "b")]
        await store.commit([Purge((ended[0],), clock.now())])
        clock.advance(20)
        await store.commit([Purge((ended[1],), clock.now())])
        again = [envelopes.make(key=key, window=timedelta(seconds=10)) for key in ("a", "b")]
        for envelope in again:
            assert await store.commit([Accept(envelope)]) == [Accepted(envelope.execution_id)]
        await store.commit([ForgetDedupeKeys(clock.now())])
        for envelope in again:
            assert await store.execution(envelope.execution_id) is not None

    async def test_a_key_that_is_taken_without_a_message_makes_duplicates_until_its_window_is_over(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        accepted = envelopes.make(key="accepted", window=timedelta(days=1))
        over = envelopes.make(key="over", window=timedelta(0))
        await store.commit([Accept(accepted), Accept(over)])
        ids = [envelopes.ids.new() for _ in range(4)]
        keys = tuple(zip(ids, ("a", "b", "accepted", "over"), strict=True))
        take = TakeDedupeKeys("orders", keys, clock.now(), clock.now() + timedelta(days=7))
        await store.commit([take])
        await store.commit([take])
        assert [one.execution.id for one in (await store.executions()).items] == [
            over.execution_id,
            accepted.execution_id,
        ]
        assert await store.execution(ids[0]) is None
        owners = (("a", ids[0]), ("b", ids[1]), ("accepted", accepted.execution_id), ("over", ids[3]))
        for key, owner in owners:
            assert await store.commit([Accept(envelopes.make(key=key))]) == [Duplicate(owner)]
        assert await store.accepted_as("invoices", "a", clock.now()) is None
        assert list(await store.purgeable("orders", clock.now(), 10)) == []
        clock.advance(timedelta(days=7).total_seconds())
        await store.commit([ForgetDedupeKeys(clock.now())])
        again = envelopes.make(key="a")
        assert await store.commit([Accept(again)]) == [Accepted(again.execution_id)]

    async def test_the_oldest_that_ended_before_a_time_go_first(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        ids = []
        for flow_id in ("orders", "invoices", "orders", "orders"):
            ids.append(await self._ended(store, envelopes, flow_id))
            clock.advance(10)
        late = clock.now()
        assert list(await store.purgeable(None, late, 2)) == ids[:2]
        assert list(await store.purgeable(None, late, 10, after=ids[1])) == ids[2:]
        assert list(await store.purgeable("orders", late, 10)) == [ids[0], *ids[2:]]
        assert list(await store.purgeable("orders", late, 10, up_to=ids[2])) == [ids[0], ids[2]]
        assert list(await store.purgeable(None, late - timedelta(seconds=25), 10)) == ids[:2]
        assert await store.first_too_many("orders", 1) == ids[2]
        assert await store.first_too_many("orders", 3) is None
        assert set(await store.flows_with_history()) == {"orders", "invoices"}

    async def test_versions_that_nothing_refers_to_are_spent_but_for_the_last(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        for version in ("v1", "v2", "v3", "v4"):
            await store.commit([Publish("orders", version, b"{}", clock.now())])
            clock.advance(10)
        assert list(await store.spent_versions("orders", 4)) == []
        assert list(await store.spent_versions("orders", 2)) == ["v2", "v1"]
        bound = envelopes.make()
        await store.commit([Accept(bound), Start(bound.execution_id, "v1", clock.now())])
        assert list(await store.spent_versions("orders", 2)) == ["v2"]
        await store.commit([ForgetVersions("orders", ("v1", "v2"))])
        assert [one.version for one in await store.flow_versions("orders")] == ["v4", "v3", "v1"]

    async def test_the_versions_of_the_newest_deployments_are_not_spent(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        before: str | None = None
        for version in ("v1", "v2", "v3", "v4"):
            flow = DeployedFlow("orders", version, before)
            deployment = Deployment(envelopes.ids.new(), clock.now(), FOLDER, (flow,))
            await store.commit([Publish("orders", version, b"{}", clock.now()), Deploy(deployment)])
            clock.advance(10)
            before = version
        other = Deployment(envelopes.ids.new(), clock.now(), FOLDER, (DeployedFlow("invoices", "v1"),))
        await store.commit([Publish("invoices", "v1", b"{}", clock.now()), Deploy(other)])
        assert list(await store.spent_versions("orders", 1)) == ["v3", "v2", "v1"]
        # The set after the newest deployment but one has the fourth version, and so has that after the newest.
        assert list(await store.spent_versions("orders", 1, 2)) == ["v3", "v2", "v1"]
        assert list(await store.spent_versions("orders", 1, 3)) == ["v2", "v1"]
        assert list(await store.spent_versions("orders", 1, 100)) == []

    async def test_a_version_is_not_spent_while_an_execution_is_kept_that_may_have_run_on_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        await store.commit([Publish("orders", "v1", b"{}", clock.now())])
        clock.advance(10)
        ended = await self._ended(store, envelopes)
        clock.advance(10)
        for version in ("v2", "v3"):
            await store.commit([Publish("orders", version, b"{}", clock.now())])
            clock.advance(10)
        assert list(await store.spent_versions("orders", 1)) == []
        await store.commit([Purge((ended,), clock.now())])
        assert list(await store.spent_versions("orders", 1)) == ["v2", "v1"]

    async def _ended(
        self,
        store: Store,
        envelopes: Envelopes,
        flow_id: str = "orders",
        *,
        key: str | None = None,
        window: timedelta = timedelta(days=7),
    ) -> str:
        envelope = envelopes.make(flow_id, key=key, window=window)
        at: datetime = envelopes.clock.now()
        await self._run(store, envelope)
        await store.commit([End(envelope.execution_id, State.SUCCEEDED, Outcome.COMPLETED, at)])
        return envelope.execution_id


class UsageContract(StoreFixtures):
    """A store tells the room that each flow's executions take, and the part that purging frees."""

    async def test_room_is_taken_by_what_is_stored(self, store: Store, envelopes: Envelopes) -> None:
        before = await store.disk_usage()
        for _ in range(10):
            await store.commit([Accept(envelopes.make(body=[envelopes.ids.new() for _ in range(5000)]))])
        after = await store.disk_usage()
        assert after.total - before.total > 200_000  # a database may compress them

    async def test_the_rows_of_a_flow_are_its_executions_in_every_state_and_everything_that_belongs_to_them(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        for state in (State.QUEUED, State.RUNNING, State.WAITING, State.SUCCEEDED):
            await self._bring(store, envelopes, state)
        (small,) = await self._usage(store)
        assert 4 * 200 < small.used < 4 * 5000
        assert 0 < small.purgeable < small.used
        assert small.dead_letters == 0

        envelope = envelopes.make(body=_incompressible())
        id_ = envelope.execution_id
        await self._run(store, envelope)
        (with_message,) = await self._usage(store)
        assert with_message.used > small.used + _LARGE / 4
        await store.commit([RecordSteps(id_, (envelopes.record(1, output=encode(Result(_incompressible()))),))])
        (with_journal,) = await self._usage(store)
        assert with_journal.used > with_message.used + _LARGE / 4
        progress = Progress("a", 2, ((0, 1),), 0, clock.now())
        await store.commit([CheckpointItems(id_, progress, ((0, encode(_incompressible())),))])
        (with_items,) = await self._usage(store)
        assert with_items.used > with_journal.used + _LARGE / 4
        assert with_items.purgeable == small.purgeable, "it still runs"

        await store.commit([End(id_, State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x", "x"))])
        (dead,) = await self._usage(store)
        assert dead.purgeable == small.purgeable
        assert dead.dead_letters > 3 * _LARGE / 4
        await store.commit([DismissDeadLetter(id_, clock.now())])
        (discarded,) = await self._usage(store)
        assert (discarded.dead_letters, discarded.used) == (0, dead.used)
        assert discarded.purgeable > small.purgeable + 3 * _LARGE / 4

    async def test_purging_frees_as_much_as_it_was_said_to_free(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        open_ = await self._bring(store, envelopes, State.WAITING)
        plain, keyed = envelopes.make(), envelopes.make(key="k", window=timedelta(days=1))
        for envelope in (plain, keyed):
            await self._run(store, envelope)
            await store.commit([End(envelope.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        ids = [plain.execution_id, keyed.execution_id]
        clock.advance(1)
        freed = await store.freed_by_purging([open_, *ids, "none"])
        assert sorted(freed) == sorted(ids)
        (before,) = await self._usage(store)
        assert before.purgeable == sum(freed.values())
        await store.commit([Purge(tuple(ids), clock.now())])
        (after,) = await self._usage(store)
        assert after.purgeable == 0
        assert before.used - before.purgeable == after.used

    async def test_usage_comes_in_pages(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        for flow_id in ("orders", "orders", "invoices", "orders", "invoices"):
            await store.commit([Accept(envelopes.make(flow_id, attachments=(attachment(envelopes.ids.new()),)))])
        whole = {row.flow_id: row.used for row in (await store.row_usage("", 100)).items}
        pages, summed, after = 0, dict.fromkeys(whole, 0), ""
        while True:
            page = await store.row_usage(after, 2)
            for row in page.items:
                summed[row.flow_id] += row.used
            pages += 1
            if page.next is None:
                break
            after = page.next
        assert (pages, summed) == (3, whole)
        assert sorted(whole) == ["invoices", "orders"]

        files: list[FileUse] = []
        after = ""
        while True:
            found = await store.file_usage(after, 2)
            files += found.items
            if found.next is None:
                break
            after = found.next
        assert files == list((await store.file_usage("", 100)).items)
        assert sorted(one.flow_id for one in files) == ["invoices", "invoices", "orders", "orders", "orders"]

    async def test_a_file_is_used_by_every_flow_that_refers_to_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        def of(flow_id: str, *blob_ids: str) -> tuple[str, Accept]:
            envelope = envelopes.make(flow_id, attachments=tuple(map(attachment, blob_ids)))
            return envelope.execution_id, Accept(envelope)

        ended, accept = of("orders", "a", "shared")
        dead, accept_dead = of("orders", "b")
        _, accept_open = of("invoices", "c", "shared")
        await store.commit([accept, accept_dead, accept_open])
        for id_ in (ended, dead):
            await store.commit([Start(id_, "v1", clock.now())])
        await store.commit([End(ended, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        await store.commit([End(dead, State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x", "x"))])
        assert [
            (one.blob_id, one.flow_id, one.purgeable, one.dead_letter) for one in (await store.file_usage("", 10)).items
        ] == [
            ("a", "orders", True, False),
            ("b", "orders", False, True),
            ("c", "invoices", False, False),
            ("shared", "invoices", False, False),
            ("shared", "orders", True, False),
        ]
        files = await store.files_of([ended, dead, "none"])
        assert {id_: set(blob_ids) for id_, blob_ids in files.items()} == {ended: {"a", "shared"}, dead: {"b"}}

    async def test_executions_are_counted_and_nothing_else_is(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        for state in State:
            await self._bring(store, envelopes, state)
        keyed = envelopes.make(key="k")
        await self._run(store, keyed)
        await store.commit([End(keyed.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        assert await store.execution_count() == len(State) + 1
        clock.advance(1)
        for _ in range(2):
            purgeable = await store.purgeable(None, clock.now(), 10)
            await store.commit([Purge(tuple(purgeable), clock.now())])
        assert await store.accepted_as("orders", "k", clock.now()) is not None
        assert await store.execution_count() == len(State) - 2, "the succeeded and the cancelled one are gone"

    async def _usage(self, store: Store) -> list[RowUsage]:
        return list((await store.row_usage("", 100)).items)


def _incompressible() -> str:
    return random.Random(0).randbytes(_LARGE // 2).hex()  # noqa: S311 - not for secrets
