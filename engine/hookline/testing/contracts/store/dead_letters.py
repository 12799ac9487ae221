"""A failed execution is a dead letter until it is retried or discarded."""

from datetime import datetime

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.dead_letter_causes import cause_of
from hookline.model.execution import ErrorInfo, ExecutionFilter, Outcome, State
from hookline.storage.change_declarations import Accept, DismissDeadLetter, End, Reopen, Start
from hookline.storage.store import DeadLetters, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class DeadLettersContract(StoreFixtures):
    """A failed execution is a dead letter until it is retried or discarded."""

    async def test_dead_letters_are_grouped_by_their_cause(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = await self._failed(store, envelopes, "order 17 is closed", at="lines[0]/post")
        began = clock.now()
        clock.advance(60)
        second = await self._failed(store, envelopes, "order 18 is closed", at="lines[3]/post")
        other = await self._failed(store, envelopes, "order 18 is lost", at="lines[3]/post")
        elsewhere = await self._failed(store, envelopes, "order 17 is closed", "invoices", at="lines[0]/post")
        await store.commit([Accept(done := envelopes.make()), Start(done.execution_id, "v1", clock.now())])
        await store.commit([End(done.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        closed = cause_of(_error("order 1 is closed", "lines[9]/post"))
        page = await store.dead_letters()
        assert page.next is None
        assert [(one.flow_id, one.count, one.newest) for one in page.items] == [
            ("invoices", 1, elsewhere),
            ("orders", 1, other),
            ("orders", 2, second),
        ]
        error = _error("order 18 is closed", "lines[3]/post")
        assert page.items[2] == DeadLetters("orders", closed, error, 2, began, clock.now(), second)
        assert [one.newest for one in (await store.dead_letters(flow_id="orders")).items] == [other, second]
        assert (await store.dead_letters(flow_id="orders", cause=closed)).items == page.items[2:]
        alike = await store.executions(ExecutionFilter(flow_id="orders", cause=closed))
        assert [one.execution.id for one in alike.items] == [second, first]
        assert {one.execution.error_cause for one in alike.items} == {closed}

    async def test_groups_are_paged_with_the_newest_first(self, store: Store, envelopes: Envelopes) -> None:
        made = [await self._failed(store, envelopes, message) for message in ("a", "b", "c", "d", "e")]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.dead_letters(cursor=cursor, limit=2)
            assert len(page.items) <= 2
            seen += [one.newest for one in page.items]
            if (cursor := page.next) is None:
                break
        assert seen == made[::-1]
        with pytest.raises(ValueError, match="not a cursor"):
            await store.dead_letters(cursor="x")

    async def test_what_is_discarded_or_retried_is_no_dead_letter(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        discarded, retried, left = [await self._failed(store, envelopes, "closed") for _ in range(3)]
        await store.commit([DismissDeadLetter(discarded, now), Reopen(retried, now)])
        (group,) = (await store.dead_letters()).items
        assert (group.count, group.newest) == (1, left)
        kept = await store.execution(discarded)
        assert kept is not None
        assert (kept.state, kept.discarded_at) == (State.FAILED, now)
        listed = await store.executions(ExecutionFilter(flow_id="orders", cause=group.cause))
        assert [one.execution.id for one in listed.items] == [left]

    async def test_what_fails_again_after_it_was_discarded_and_retried_is_one_again(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        id_, now = await self._failed(store, envelopes, "closed"), envelopes.clock.now()
        await store.commit([DismissDeadLetter(id_, now)])
        await store.commit([Reopen(id_, now)])
        reopened = await store.execution(id_)
        assert reopened is not None
        assert (reopened.discarded_at, reopened.error_cause) == (None, None)
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now, _error("closed"))])
        assert [one.newest for one in (await store.dead_letters()).items] == [id_]

    @pytest.mark.parametrize("state", list(State))
    async def test_only_what_failed_is_discarded_and_only_once(
        self, store: Store, envelopes: Envelopes, state: State
    ) -> None:
        id_, now = await self._bring(store, envelopes, state), envelopes.clock.now()
        if state is State.FAILED:
            await store.commit([DismissDeadLetter(id_, now)])
        with pytest.raises(IllegalStateChange, match=f"is {state}"):
            await store.commit([DismissDeadLetter(id_, now)])
        with pytest.raises(ExecutionNotFound):
            await store.commit([DismissDeadLetter(envelopes.ids.new(), now)])

    async def _failed(
        self, store: Store, envelopes: Envelopes, message: str, flow_id: str = "orders", *, at: str = "post"
    ) -> str:
        envelope = envelopes.make(flow_id)
        id_, now = envelope.execution_id, _now(envelopes)
        await store.commit([Accept(envelope), Start(id_, "v1", now)])
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now, _error(message, at))])
        return id_


def _error(message: str, at: str = "post") -> ErrorInfo:
    return ErrorInfo("order.closed", message, at)


def _now(envelopes: Envelopes) -> datetime:
    return envelopes.clock.now()
