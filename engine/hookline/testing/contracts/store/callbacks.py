"""Callbacks: exactly one counts for each step, and none is kept longer than it can be used."""

from datetime import timedelta

from hookline.model.callbacks_and_pages import WaitStatus
from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import (
    MAX_EARLY_CALLBACKS,
    BeginWait,
    CallbackOutcome,
    CallbackRepeated,
    CallbackStored,
    DismissDeadLetter,
    End,
    EndWait,
    ForgetCallbacks,
    ForgetEarlyCallbacks,
    NotWaiting,
    Park,
    ReencryptCallback,
    Reopen,
    Resume,
    StoreCallback,
    TimeOutWait,
    TooManyEarlyCallbacks,
    WaitTimedOut,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_EARLY = timedelta(hours=1)


class CallbacksContract(StoreFixtures):
    """Callbacks: exactly one counts for each step, and none is kept longer than it can be used."""

    def _call(
        self,
        envelopes: Envelopes,
        execution_id: str | None,
        said: bytes = b"1",
        *,
        key: str | None = None,
        blobs: tuple[str, ...] = (),
        path: str = "paid",
    ) -> StoreCallback:
        now = envelopes.clock.now()
        at_path = None if execution_id is None else path
        until = now + _EARLY if execution_id is None else None
        id_ = envelopes.ids.new()
        return StoreCallback(id_, execution_id, at_path, "orders", "paid", key, said, now, until, said, blobs)

    async def _ask(self, store: Store, call: StoreCallback) -> CallbackOutcome:
        (outcome,) = await store.commit([call])
        assert isinstance(outcome, CallbackOutcome)
        return outcome

    async def _waiting(self, store: Store, envelopes: Envelopes, key: str | None = None) -> str:
        """Start an execution that waits at `paid`."""
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelopes.clock.now()
        await self._run(store, envelope)
        await store.commit([BeginWait(id_, "paid", "orders", "paid", key, now), Park(id_, now, None, "callback")])
        return id_

    async def test_a_call_is_kept_and_makes_the_execution_that_waits_ready(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        id_ = await self._waiting(store, envelopes)
        assert list(await store.waits(id_)) == ["paid"]
        assert await self._ask(store, self._call(envelopes, id_)) == CallbackStored(id_)
        assert dict(await store.callbacks(id_)) == {"paid": b"1"}
        execution = await store.execution(id_)
        assert execution is not None
        assert execution.ready_at == clock.now()
        await store.commit([Resume(id_, clock.now()), EndWait(id_, "paid")])
        assert (list(await store.waits(id_)), dict(await store.callbacks(id_))) == ([], {})

    async def test_the_status_of_a_wait_follows_what_happens_to_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelopes.clock.now()
        await self._run(store, envelope)
        assert await store.wait_status(id_, "paid") == WaitStatus(waits=False)
        wait = BeginWait(id_, "paid", "orders", "paid", None, now, page=b'{"title": "Pay"}')
        await store.commit([wait, Park(id_, now, None, "callback")])
        assert await store.wait_status(id_, "paid") == WaitStatus(waits=True, page=b'{"title": "Pay"}')
        await self._ask(store, self._call(envelopes, id_))
        assert (await store.wait_status(id_, "paid")).called
        await store.commit([Resume(id_, clock.now()), EndWait(id_, "paid")])
        assert await store.wait_status(id_, "paid") == WaitStatus(waits=False, called=True)
        other = await self._waiting(store, envelopes)
        await store.commit([TimeOutWait(envelopes.ids.new(), other, "paid", "orders", "paid", clock.now())])
        assert await store.wait_status(other, "paid") == WaitStatus(waits=True, timed_out=True)

    async def test_a_call_before_the_step_is_reached_is_kept_for_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await self._accept(store, envelope)
        assert await self._ask(store, self._call(envelopes, id_)) == CallbackStored(id_)
        assert dict(await store.callbacks(id_)) == {}, "nothing waits yet"

    async def test_the_second_call_changes_nothing_and_is_told_whether_it_says_the_same(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        id_ = await self._waiting(store, envelopes)
        await self._ask(store, self._call(envelopes, id_))
        assert await self._ask(store, self._call(envelopes, id_)) == CallbackRepeated(id_, identical=True)
        other = await self._ask(store, self._call(envelopes, id_, b"2"))
        assert other == CallbackRepeated(id_, identical=False)
        assert dict(await store.callbacks(id_)) == {"paid": b"1"}
        await store.commit([Resume(id_, clock.now()), End(id_, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        assert await self._ask(store, self._call(envelopes, id_)) == CallbackRepeated(id_, identical=True)

    async def test_of_calls_in_one_commit_the_first_counts(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._waiting(store, envelopes)
        outcomes = await store.commit([self._call(envelopes, id_, said) for said in (b"1", b"1", b"2")])
        assert list(outcomes) == [
            CallbackStored(id_),
            CallbackRepeated(id_, identical=True),
            CallbackRepeated(id_, identical=False),
        ]

    async def test_nothing_waits_in_an_execution_that_ended_or_that_there_is_not(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        id_ = await self._bring(store, envelopes, State.CANCELLED)
        assert await self._ask(store, self._call(envelopes, id_)) == NotWaiting()
        assert await self._ask(store, self._call(envelopes, envelopes.ids.new())) == NotWaiting()

    async def test_a_step_whose_time_is_up_takes_no_call_and_one_that_was_called_has_no_time_up(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        id_ = await self._waiting(store, envelopes)
        timeout = TimeOutWait(envelopes.ids.new(), id_, "paid", "orders", "paid", clock.now())
        assert list(await store.commit([timeout])) == [WaitTimedOut()]
        assert await self._ask(store, self._call(envelopes, id_)) == NotWaiting()
        other = await self._waiting(store, envelopes)
        await self._ask(store, self._call(envelopes, other))
        late = TimeOutWait(envelopes.ids.new(), other, "paid", "orders", "paid", clock.now())
        assert list(await store.commit([late])) == [CallbackStored(other)]

    async def test_a_key_finds_the_execution_that_has_asked_for_it_longest(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = await self._waiting(store, envelopes, "k")
        clock.advance(1)
        second = await self._waiting(store, envelopes, "k")
        assert await self._ask(store, self._call(envelopes, None, key="k")) == CallbackStored(first)
        assert await self._ask(store, self._call(envelopes, None, b"2", key="k")) == CallbackStored(second)
        again = await self._ask(store, self._call(envelopes, None, b"2", key="k"))
        assert again == CallbackRepeated(second, identical=True)

    async def test_what_comes_early_is_kept_with_its_files_for_the_step_that_asks(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        assert await self._ask(store, self._call(envelopes, None, key="k", blobs=("b",))) == CallbackStored(None)
        clock.advance(3599)
        id_ = await self._waiting(store, envelopes, "k")
        assert dict(await store.callbacks(id_)) == {"paid": b"1"}
        await store.commit([ForgetEarlyCallbacks(clock.now() + _EARLY)])
        assert dict(await store.callbacks(id_)) == {"paid": b"1"}, "it is early no more"
        assert set(await store.referenced(["b"])) == {"b"}

    async def test_of_early_calls_by_url_and_by_key_the_step_takes_that_by_url_and_another_step_the_other(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make()
        id_, now = envelope.execution_id, clock.now()
        await self._run(store, envelope)
        assert await self._ask(store, self._call(envelopes, None, b"by key", key="k")) == CallbackStored(None)
        assert await self._ask(store, self._call(envelopes, id_, b"by URL")) == CallbackStored(id_)
        await store.commit([BeginWait(id_, "paid", "orders", "paid", "k", now), Park(id_, now, None, "callback")])
        assert dict(await store.callbacks(id_)) == {"paid": b"by URL"}
        other = await self._waiting(store, envelopes, "k")
        assert dict(await store.callbacks(other)) == {"paid": b"by key"}

    async def test_what_comes_too_early_is_given_up_with_its_files(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        await self._ask(store, self._call(envelopes, None, key="k", blobs=("b",)))
        clock.advance(1)
        await self._ask(store, self._call(envelopes, None, key="l", blobs=("c",)))
        clock.advance(3599)
        await store.commit([ForgetEarlyCallbacks(clock.now())])
        assert set(await store.referenced(["b", "c"])) == {"c"}
        id_ = await self._waiting(store, envelopes, "k")
        assert dict(await store.callbacks(id_)) == {}
        assert await self._ask(store, self._call(envelopes, None, key="k")) == CallbackStored(id_)

    async def test_early_calls_of_a_step_are_bounded_until_some_are_given_up(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        calls = [self._call(envelopes, None, key=str(number)) for number in range(MAX_EARLY_CALLBACKS)]
        assert set(await store.commit(calls)) == {CallbackStored(None)}
        assert await self._ask(store, self._call(envelopes, None, key="x")) == TooManyEarlyCallbacks()
        clock.advance(3600)
        assert await self._ask(store, self._call(envelopes, None, key="x")) == CallbackStored(None)

    async def test_what_came_for_executions_that_ended_before_a_time_is_given_up(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        ids = [await self._waiting(store, envelopes) for _ in range(4)]
        await store.commit([self._call(envelopes, id_) for id_ in ids])
        for id_ in ids[:3]:
            await store.commit([Resume(id_, clock.now()), End(id_, State.FAILED, Outcome.FAILED, clock.now())])
            await store.commit([DismissDeadLetter(id_, clock.now())])
        clock.advance(10)
        assert list(await store.executions_with_callbacks(clock.now(), 2)) == ids[:2]
        assert list(await store.executions_with_callbacks(clock.now(), 10)) == ids[:3], "the fourth waits still"
        await store.commit([Reopen(ids[2], clock.now())])
        await store.commit([ForgetCallbacks(tuple(ids))])
        assert list(await store.executions_with_callbacks(clock.now(), 10)) == []
        assert await self._ask(store, self._call(envelopes, ids[0])) == NotWaiting()
        for id_ in ids[2:]:
            assert await self._ask(store, self._call(envelopes, id_)) == CallbackRepeated(id_, identical=True)

    async def test_callbacks_to_come_are_paged_and_replaced_only_where_they_are_what_they_were(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        waiting, failed, ended, late = [await self._waiting(store, envelopes) for _ in range(4)]
        calls = [self._call(envelopes, id_, id_.encode()) for id_ in (waiting, failed, ended)]
        calls.append(self._call(envelopes, None, b"early", key="k"))
        await store.commit(calls)
        await store.commit([TimeOutWait(envelopes.ids.new(), late, "paid", "orders", "paid", clock.now())])
        for id_, state, outcome in (
            (failed, State.FAILED, Outcome.FAILED),
            (ended, State.SUCCEEDED, Outcome.COMPLETED),
        ):
            await store.commit([Resume(id_, clock.now()), End(id_, state, outcome, clock.now())])
        to_come = [(one.id, one.payload) for one in (calls[0], calls[1], calls[3])]
        assert list(await store.callbacks_to_come("", 10)) == to_come
        assert list(await store.callbacks_to_come("", 2)) == to_come[:2]
        assert list(await store.callbacks_to_come(to_come[1][0], 2)) == to_come[2:]
        renewed = ReencryptCallback(calls[0].id, b"new", waiting.encode())
        await store.commit([renewed, ReencryptCallback(calls[1].id, b"new", b"not it")])
        await store.commit([ReencryptCallback("none", b"new", b"early")])
        assert list(await store.callbacks_to_come("", 10)) == [(calls[0].id, b"new"), *to_come[1:]]
        assert dict(await store.callbacks(waiting)) == {"paid": b"new"}
        assert await self._ask(store, calls[0]) == CallbackRepeated(waiting, identical=True)
