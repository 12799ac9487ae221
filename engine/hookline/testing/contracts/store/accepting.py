"""Messages are accepted once, and returned unchanged."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.execution import ErrorInfo, Outcome, State
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Change,
    Duplicate,
    End,
    KeepAlias,
    Park,
    Purge,
    RecordSteps,
    Reopen,
    Resume,
    Start,
    Unblock,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment


class AcceptingContract(StoreFixtures):
    """Messages are accepted once, and returned unchanged."""

    async def test_an_accepted_message_is_kept_as_it_was_put(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make(
            body={"amount": 10**30, "text": "\0 é 😀"}, key="evt_1\0", attachments=(attachment("b1"),)
        )
        assert await store.commit([Accept(envelope)]) == [Accepted(envelope.execution_id)]
        assert await store.envelope(envelope.execution_id) == envelope
        execution = await store.execution(envelope.execution_id)
        assert execution is not None
        assert (execution.state, execution.flow_id, execution.attempt) == (State.QUEUED, "orders", 1)
        assert execution.created_at == execution.ready_at == envelope.accepted_at
        told = (execution.flow_version, execution.outcome, execution.started_at, execution.finished_at)
        assert told == (None, None, None, None)

    async def test_a_large_message_is_kept_whole(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make(body="x" * 3_000_000)
        await self._accept(store, envelope)
        assert await store.envelope(envelope.execution_id) == envelope

    async def test_what_is_not_there_is_none(self, store: Store, envelopes: Envelopes) -> None:
        nobody = envelopes.ids.new()
        assert await store.execution(nobody) is None
        assert await store.envelope(nobody) is None
        assert list(await store.journal(nobody)) == []
        assert await store.flow_document("orders", "v1") is None

    async def test_a_duplicate_gets_the_first_executions_id_and_starts_nothing(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, second = envelopes.make(key="k"), envelopes.make(key="k", attachments=(attachment("b2"),))
        await self._accept(store, first)
        assert await store.commit([Accept(second)]) == [Duplicate(first.execution_id)]
        assert await store.execution(second.execution_id) is None
        assert await store.envelope(second.execution_id) is None
        assert set(await store.referenced(["b2"])) == set()
        assert await store.accepted_as("orders", "k", clock.now()) == first.execution_id

    async def test_an_alias_leads_to_its_execution_and_is_kept_once(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first, other, alias = envelopes.make(key="k"), envelopes.make(), envelopes.ids.new()
        await store.commit([Accept(first), Accept(other)])
        assert await store.aliased(alias) is None
        for id_ in (first.execution_id, other.execution_id):
            await store.commit([KeepAlias(alias, id_, clock.now())])
            assert await store.aliased(alias) == first.execution_id
        assert await store.aliased(first.execution_id) is None
        assert await store.execution(alias) is None

    async def test_an_execution_that_is_gone_has_no_alias(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        gone, alias, late = envelopes.make(key="k"), envelopes.ids.new(), envelopes.ids.new()
        id_ = gone.execution_id
        await store.commit([Accept(gone), KeepAlias(alias, id_, clock.now())])
        await store.commit([Start(id_, "v1", clock.now()), End(id_, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        await store.commit([Purge((id_,), clock.now())])
        await store.commit([KeepAlias(late, id_, clock.now()), KeepAlias(late, envelopes.ids.new(), clock.now())])
        assert (await store.aliased(alias), await store.aliased(late)) == (None, None)

    async def test_of_equal_keys_in_one_batch_the_first_is_accepted(self, store: Store, envelopes: Envelopes) -> None:
        batch = [envelopes.make(key=key) for key in ("a", "b", "a", "a", "b")]
        a, b = batch[0].execution_id, batch[1].execution_id
        results = await store.commit([Accept(envelope) for envelope in batch])
        assert results == [Accepted(a), Accepted(b), Duplicate(a), Duplicate(a), Duplicate(b)]

    async def test_a_key_belongs_to_one_flow(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        other = envelopes.make("invoices", key="k")
        await self._accept(store, envelopes.make("orders", key="k"))
        assert await store.commit([Accept(other)]) == [Accepted(other.execution_id)]
        assert await store.accepted_as("refunds", "k", clock.now()) is None

    async def test_messages_without_a_key_are_never_duplicates(self, store: Store, envelopes: Envelopes) -> None:
        pair = [envelopes.make(body=1), envelopes.make(body=1)]
        results = await store.commit([Accept(envelope) for envelope in pair])
        assert results == [Accepted(envelope.execution_id) for envelope in pair]

    async def test_a_key_is_free_again_when_its_window_is_over(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = envelopes.make(key="k", window=timedelta(hours=1))
        await self._accept(store, first)
        clock.advance(3599)
        early = envelopes.make(key="k", window=timedelta(hours=1))
        assert await store.commit([Accept(early)]) == [Duplicate(first.execution_id)]
        clock.advance(1)
        assert await store.accepted_as("orders", "k", clock.now()) is None
        late, later = (envelopes.make(key="k", window=timedelta(hours=1)) for _ in range(2))
        assert await store.commit([Accept(late), Accept(later)]) == [
            Accepted(late.execution_id),
            Duplicate(late.execution_id),
        ]
        # The first execution keeps its message; only its key has gone to another.
        assert await store.envelope(first.execution_id) == first

    @pytest.mark.parametrize("order_key", [None, "o"])
    async def test_messages_outside_of_one_anothers_windows_are_no_duplicates_in_whichever_order_they_come(
        self, store: Store, envelopes: Envelopes, clock: ManualClock, order_key: str | None
    ) -> None:
        # From an intake queue, one may reach the store after those that were accepted later.
        made = []
        for at in (0, 3599, 1, 0):
            clock.advance(at)
            made.append(envelopes.make(key="k", window=timedelta(hours=1), order_key=order_key))
        early, between, late, other = made
        assert await store.commit([Accept(late), Accept(early), Accept(between), Accept(other)]) == [
            Accepted(late.execution_id),
            Accepted(early.execution_id),
            Duplicate(late.execution_id),
            Duplicate(late.execution_id),
        ]
        assert await store.envelope(early.execution_id) == early
        assert await store.commit([Accept(early), Accept(late)]) == [
            Duplicate(early.execution_id),
            Duplicate(late.execution_id),
        ]
        assert await store.accepted_as("orders", "k", clock.now()) == late.execution_id

    async def test_a_message_that_comes_again_after_its_key_has_gone_to_another_is_a_duplicate_of_itself(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        early = envelopes.make(key="k", window=timedelta(hours=1))
        clock.advance(3600)
        await self._accept(store, early, envelopes.make(key="k", window=timedelta(hours=1)))
        assert await store.commit([Accept(early)]) == [Duplicate(early.execution_id)]

    async def test_keys_outlive_their_executions(self, store: Store, envelopes: Envelopes) -> None:
        first = envelopes.make(key="k")
        await self._run(store, first)
        await store.commit([End(first.execution_id, State.SUCCEEDED, Outcome.COMPLETED, first.accepted_at)])
        assert await store.commit([Accept(envelopes.make(key="k"))]) == [Duplicate(first.execution_id)]

    async def test_keys_may_be_long_and_hold_anything(self, store: Store, envelopes: Envelopes) -> None:
        first = envelopes.make(key="\0é" + "x" * 100_000)
        await self._accept(store, first)
        again = envelopes.make(key="\0é" + "x" * 100_000)
        other = envelopes.make(key="\0é" + "x" * 99_999 + "y")
        assert await store.commit([Accept(again), Accept(other)]) == [
            Duplicate(first.execution_id),
            Accepted(other.execution_id),
        ]
        assert await store.envelope(first.execution_id) == first

    async def test_an_id_that_was_accepted_is_not_accepted_again(self, store: Store, envelopes: Envelopes) -> None:
        keyed, plain, new = envelopes.make(key="k"), envelopes.make(), envelopes.make()
        await self._accept(store, keyed, plain)
        assert await store.commit([Accept(plain), Accept(new), Accept(keyed)]) == [
            Duplicate(plain.execution_id),
            Accepted(new.execution_id),
            Duplicate(keyed.execution_id),
        ]
        for envelope in (plain, keyed):
            id_, now = envelope.execution_id, envelope.accepted_at
            await store.commit([Start(id_, "v1", now)])
            await store.commit([End(id_, State.SUCCEEDED, Outcome.COMPLETED, now)])
        other = envelopes.make()
        assert await store.commit([Accept(keyed), Accept(other), Accept(plain)]) == [
            Duplicate(keyed.execution_id),
            Accepted(other.execution_id),
            Duplicate(plain.execution_id),
        ]
        ended = await store.execution(plain.execution_id)
        assert ended is not None
        assert ended.state is State.SUCCEEDED


class CommitsContract(StoreFixtures):
    """Commits are atomic, ordered and isolated from one another."""

    async def test_a_batch_is_durable_whole_or_not_at_all(self, store: Store, envelopes: Envelopes) -> None:
        running, new = envelopes.make(), envelopes.make(key="k")
        await self._run(store, running)
        with pytest.raises(IllegalStateChange, match=running.execution_id):
            await store.commit(
                [
                    Accept(new),
                    RecordSteps(running.execution_id, (envelopes.record(1),)),
                    Start(running.execution_id, "v2", running.accepted_at),
                ]
            )
        assert await store.execution(new.execution_id) is None
        assert list(await store.journal(running.execution_id)) == []
        # And the key of what was not accepted is not used up.
        again = envelopes.make(key="k")
        assert await store.commit([Accept(again)]) == [Accepted(again.execution_id)]

    async def test_one_batchs_failure_never_fails_anothers(self, store: Store, envelopes: Envelopes) -> None:
        taken, running = envelopes.make(key="k"), envelopes.make()
        await self._accept(store, taken)
        await self._run(store, running)
        now = running.accepted_at
        good, more = envelopes.make(), envelopes.make()
        batches: list[Sequence[Change]] = [
            [Accept(good)],
            [Start("nobody", "v1", now)],
            [Accept(envelopes.make(key="k"))],
            [Start(running.execution_id, "v1", now)],
            [RecordSteps(running.execution_id, (envelopes.record(1),))],
            [Accept(more), Start(more.execution_id, "v1", now)],
        ]
        results = await asyncio.gather(*(store.commit(batch) for batch in batches), return_exceptions=True)
        assert results[0] == [Accepted(good.execution_id)]
        assert isinstance(results[1], ExecutionNotFound)
        assert results[2] == [Duplicate(taken.execution_id)]
        assert isinstance(results[3], IllegalStateChange)
        assert results[4] == [None]
        assert results[5] == [Accepted(more.execution_id), None]
        assert len(await store.journal(running.execution_id)) == 1
        started = await store.execution(more.execution_id)
        assert started is not None
        assert started.state is State.RUNNING

    async def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        assert list(await store.commit([])) == []

    async def test_changes_of_one_batch_take_place_in_order(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelope.accepted_at
        results = await store.commit(
            [
                Accept(envelope),
                Start(id_, "v1", now),
                RecordSteps(id_, (envelopes.record(1), envelopes.record(2))),
                Park(id_, now, None, "blocked: x"),
                Unblock("orders", now),
                Resume(id_, now),
                RecordSteps(id_, (envelopes.record(3),)),
                End(id_, State.FAILED, Outcome.FAILED, now, ErrorInfo("c", "m")),
                Reopen(id_, now),
                Resume(id_, now),
                End(id_, State.SUCCEEDED, Outcome.COMPLETED, now),
            ]
        )
        assert results == [Accepted(id_), *[None] * 10]
        execution = await store.execution(id_)
        assert execution is not None
        assert (execution.state, execution.attempt, execution.error) == (State.SUCCEEDED, 2, None)
        assert [entry.seq for entry in await store.journal(id_)] == [1, 2, 3]

    async def test_a_ping_returns(self, store: Store) -> None:
        await store.ping()
        await store.ping()
        assert dict(await store.counts()) == {}
