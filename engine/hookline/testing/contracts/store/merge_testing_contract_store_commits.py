"""Batches are committed whole, in order, and apart from one another."""

import asyncio
from collections.abc import Sequence

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.execution import ErrorInfo, Outcome, State
from hookline.storage.changes import Change
from hookline.storage.merge_ports_changes_accept import Accept, Accepted, Duplicate
from hookline.storage.merge_ports_changes_executions import End, Park, Record, Reopen, Resume, Start, Unblock
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class CommitsContract(StoreFixtures):
    """Batches are committed whole, in order, and apart from one another."""

    async def test_a_batch_is_durable_whole_or_not_at_all(self, store: Store, envelopes: Envelopes) -> None:
        running, new = envelopes.make(), envelopes.make(key="k")
        await self._run(store, running)
        with pytest.raises(IllegalStateChange, match=running.execution_id):
            await store.commit(
                [
                    Accept(new),
                    Record(running.execution_id, (envelopes.record(1),)),
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
            [Record(running.execution_id, (envelopes.record(1),))],
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
                Record(id_, (envelopes.record(1), envelopes.record(2))),
                Park(id_, now, None, "blocked: x"),
                Unblock("orders", now),
                Resume(id_, now),
                Record(id_, (envelopes.record(3),)),
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
