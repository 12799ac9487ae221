"""What every store has to do. A backend's tests subclass `StoreContract` and give the fixtures that it names."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from hookline.errors import ExecutionNotFound, IllegalStateChange
from hookline.jsontypes import encode
from hookline.model.execution import FINAL, MOVES, ErrorInfo, Outcome, State, StepState
from hookline.model.message import Envelope, Result, arrival_view
from hookline.model.refused import RefusedRequest
from hookline.ports import (
    REFUSED_KEPT,
    Accept,
    Accepted,
    Backend,
    Change,
    DropCredential,
    Duplicate,
    End,
    ForgetFiles,
    Park,
    Publish,
    PutCredential,
    Record,
    Refuse,
    Reopen,
    Resume,
    Start,
    Store,
    Unblock,
)
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes, attachment

_OUTCOMES = {
    State.SUCCEEDED: Outcome.COMPLETED,
    State.FAILED: Outcome.FAILED,
    State.CANCELLED: Outcome.CANCELLED,
}


class StoreContract:
    """Fixtures to give: `clock`, a ManualClock, and `backend`, open, empty, and on that clock."""

    @pytest.fixture
    def store(self, backend: Backend) -> Store:
        """What is tested."""
        return backend.store

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """Where messages come from."""
        return Envelopes(clock)

    async def _accept(self, store: Store, *envelopes: Envelope) -> None:
        await store.commit([Accept(envelope) for envelope in envelopes])

    async def _run(self, store: Store, envelope: Envelope) -> None:
        await store.commit([Accept(envelope), Start(envelope.execution_id, "v1", envelope.accepted_at)])

    async def _bring(self, store: Store, envelopes: Envelopes, state: State) -> str:
        """An execution that is in a state."""
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelope.accepted_at
        changes: list[Change] = [Accept(envelope)]
        if state is not State.QUEUED:
            changes.append(Start(id_, "v1", now))
        if state is State.WAITING:
            changes.append(Park(id_, now, None, "blocked: x"))
        elif state in FINAL:
            changes.append(End(id_, state, _OUTCOMES[state], now))
        await store.commit(changes)
        return id_

    # --- Accepting

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

    # --- Commits

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

    # --- States

    async def test_a_life_from_queued_to_succeeded(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make()
        id_, accepted = envelope.execution_id, clock.now()
        await self._accept(store, envelope)
        clock.advance(1)
        started = clock.now()
        await store.commit([Start(id_, "v1", started)])
        running = await store.execution(id_)
        assert running is not None
        assert (running.state, running.flow_version, running.ready_at) == (State.RUNNING, "v1", None)
        clock.advance(1)
        wake = clock.now() + timedelta(minutes=5)
        await store.commit([Park(id_, clock.now(), wake, "retry")])
        waiting = await store.execution(id_)
        assert waiting is not None
        assert (waiting.state, waiting.ready_at, waiting.reason) == (State.WAITING, wake, "retry")
        await store.commit([Resume(id_, wake)])
        await store.commit([End(id_, State.SUCCEEDED, Outcome.FILTERED, wake)])
        ended = await store.execution(id_)
        assert ended is not None
        assert (ended.state, ended.outcome, ended.reason, ended.ready_at) == (
            State.SUCCEEDED,
            Outcome.FILTERED,
            None,
            None,
        )
        assert (ended.created_at, ended.started_at, ended.finished_at) == (accepted, started, wake)

    async def test_an_error_is_kept_until_the_execution_is_reopened(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelope.accepted_at
        await self._run(store, envelope)
        error = ErrorInfo("http.500", "no \ufffd luck", "lines[3]/post", retryable=True)
        bad = ErrorInfo("http.500", "no \0 luck", "lines[3]/post", retryable=True)
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now, bad)])
        failed = await store.execution(id_)
        assert failed is not None
        assert failed.error in (error, bad)
        await store.commit([Reopen(id_, now)])
        reopened = await store.execution(id_)
        assert reopened is not None
        assert (reopened.state, reopened.error, reopened.outcome) == (State.WAITING, None, None)
        assert (reopened.attempt, reopened.ready_at, reopened.finished_at) == (2, now, None)
        assert reopened.flow_version == "v1"

    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("end", sorted(FINAL))
    async def test_an_end_follows_only_where_moves_let_it(
        self, store: Store, envelopes: Envelopes, state: State, end: State
    ) -> None:
        id_ = await self._bring(store, envelopes, state)
        change = End(id_, end, _OUTCOMES[end], envelopes.clock.now())
        if end in MOVES[state]:
            await store.commit([change])
        else:
            with pytest.raises(IllegalStateChange, match=f"is {state}"):
                await store.commit([change])
            state_now = await store.execution(id_)
            assert state_now is not None
            assert state_now.state is state

    @pytest.mark.parametrize("state", list(State))
    async def test_other_moves_follow_only_where_they_are_legal(
        self, store: Store, envelopes: Envelopes, state: State
    ) -> None:
        now = envelopes.clock.now()
        legal = {
            "start": {State.QUEUED},
            "resume": {State.WAITING, State.RUNNING},
            "park": {State.QUEUED, State.RUNNING},
            "record": {State.RUNNING},
            "reopen": {State.FAILED},
        }
        for name, states in legal.items():
            id_ = await self._bring(store, envelopes, state)
            changes: dict[str, Change] = {
                "start": Start(id_, "v2", now),
                "resume": Resume(id_, now),
                "park": Park(id_, now, now, "retry"),
                "record": Record(id_, (envelopes.record(1),)),
                "reopen": Reopen(id_, now),
            }
            change = changes[name]
            if state in states:
                assert await store.commit([change]) == [None], name
            else:
                with pytest.raises(IllegalStateChange, match=f"is {state}"):
                    await store.commit([change])

    async def test_what_was_parked_before_its_first_step_can_still_start(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelope.accepted_at
        await store.commit([Accept(envelope), Park(id_, now, None, "blocked: no credential")])
        await store.commit([Resume(id_, now), Park(id_, now, None, "blocked: still none")])
        await store.commit([Start(id_, "v1", now)])
        started = await store.execution(id_)
        assert started is not None
        assert (started.state, started.flow_version, started.started_at) == (State.RUNNING, "v1", now)

    async def test_a_change_of_no_execution_says_so(self, store: Store, envelopes: Envelopes) -> None:
        nobody, now = envelopes.ids.new(), envelopes.clock.now()
        for change in (
            Start(nobody, "v1", now),
            Resume(nobody, now),
            Park(nobody, now, None, "x"),
            Record(nobody, (envelopes.record(1),)),
            End(nobody, State.FAILED, Outcome.FAILED, now),
            Reopen(nobody, now),
        ):
            with pytest.raises(ExecutionNotFound, match=nobody):
                await store.commit([change])

    async def test_unblocking_makes_ready_what_is_blocked_or_waits_without_a_time(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        later = now + timedelta(days=1)
        parked = (
            ("orders", None, "blocked: x", now),
            ("orders", None, "x", now),
            ("orders", later, "blocked: x, and something else waits for a time", now),
            ("orders", later, "retry", later),
            ("invoices", None, "blocked: x", None),
        )
        made = [(envelopes.make(flow_id), until, reason) for flow_id, until, reason, _ in parked]
        for envelope, until, reason in made:
            await self._run(store, envelope)
            await store.commit([Park(envelope.execution_id, now, until, reason)])
        await store.commit([Unblock("orders", now)])
        found = [await store.execution(envelope.execution_id) for envelope, _, _ in made]
        assert [execution and execution.ready_at for execution in found] == [ready_at for _, _, _, ready_at in parked]

    # --- The journal

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
        await store.commit([Record(id_, entries[:1])])
        await store.commit([Record(id_, entries[1:])])
        assert tuple(await store.journal(id_)) == entries
        assert tuple(await store.journal(id_, after=1, limit=1)) == entries[1:2]

    async def test_an_entry_is_written_once(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        await store.commit([Record(envelope.execution_id, (envelopes.record(1),))])
        with pytest.raises(IllegalStateChange, match="entry 1"):
            await store.commit([Record(envelope.execution_id, (envelopes.record(1, output=None),))])
        (kept,) = await store.journal(envelope.execution_id)
        assert kept.output is not None

    async def test_blobs_of_messages_and_results_are_referred_to(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make(attachments=(attachment("in-1"), attachment("in-2")))
        await self._run(store, envelope)
        output = encode(Result("x", attachments=(attachment("out-1"),)))
        await store.commit([Record(envelope.execution_id, (envelopes.record(1, output=output),))])
        asked = ["in-1", "in-2", "out-1", *(f"other-{number}" for number in range(1000))]
        assert set(await store.referenced(asked)) == {"in-1", "in-2", "out-1"}
        assert set(await store.referenced([])) == set()

    # --- Lists and timers

    async def _ids(self, store: Store, **chosen: Any) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.executions(cursor=cursor, limit=3, **chosen)
            assert len(page.items) <= 3
            found += [item.execution.id for item in page.items]
            if (cursor := page.next) is None:
                return found

    async def test_lists_are_newest_first_in_pages(self, store: Store, envelopes: Envelopes) -> None:
        made = []
        for number in range(10):
            envelope = envelopes.make("orders" if number % 2 else "invoices", body=number)
            made.append(envelope)
            await self._accept(store, envelope)
            if number % 3 == 0:
                now = envelope.accepted_at
                await store.commit([Start(envelope.execution_id, "v1", now)])
                if number % 2 == 0:
                    await store.commit([End(envelope.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)])
        newest = [(number, made[number].execution_id) for number in reversed(range(10))]
        assert await self._ids(store) == [id_ for _, id_ in newest]
        assert await self._ids(store, flow_id="orders") == [id_ for number, id_ in newest if number % 2]
        assert await self._ids(store, state=State.SUCCEEDED) == [id_ for number, id_ in newest if number % 6 == 0]
        assert await self._ids(store, state=State.RUNNING) == [id_ for number, id_ in newest if number in (3, 9)]
        assert await self._ids(store, state=State.QUEUED) == [id_ for number, id_ in newest if number % 3]
        assert await self._ids(store, flow_id="invoices", state=State.QUEUED) == [
            id_ for number, id_ in newest if number % 3 and number % 2 == 0
        ]
        assert await self._ids(store, flow_id="invoices", state=State.SUCCEEDED) == [
            id_ for number, id_ in newest if number % 6 == 0
        ]
        assert await self._ids(store, flow_id="nobody") == []

    async def test_a_page_doesnt_carry_large_bodies(self, store: Store, envelopes: Envelopes) -> None:
        await self._accept(store, envelopes.make(body="x" * 1_000_000), envelopes.make(body=1))
        page = await store.executions()
        assert all(len(item.payload) < 100_000 for item in page.items)
        assert [arrival_view(item.payload)["method"] for item in page.items] == ["POST", "POST"]

    @pytest.mark.parametrize("cursor", ["", "x", "%", "01A20E14-1C21-708F-B502-459830859189"])
    async def test_a_cursor_that_isnt_one_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="not a cursor"):
            await store.executions(cursor=cursor)

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

    # --- Files that are kept for a time

    async def test_executions_that_ended_before_a_time_give_up_their_files(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        old = [envelopes.make(attachments=(attachment(f"old{place}"), attachment("both"))) for place in range(3)]
        for envelope in old:
            await self._run(store, envelope)
        await store.commit(
            [End(old[place].execution_id, State.FAILED, Outcome.FAILED, clock.now()) for place in range(2)]
        )
        clock.advance(10)
        new = envelopes.make(attachments=(attachment("new"), attachment("both")))
        await self._run(store, new)
        await store.commit([End(new.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        before = clock.now()
        assert list(await store.executions_with_files(before, 10)) == [old[0].execution_id, old[1].execution_id]
        assert list(await store.executions_with_files(before, 1)) == [old[0].execution_id]
        clock.advance(1)
        forgotten = tuple(envelope.execution_id for envelope in (*old, new)[:3])
        await store.commit([ForgetFiles(forgotten, clock.now())])
        assert list(await store.executions_with_files(before, 10)) == []
        # The third is running still: it keeps what it has, whoever says that it should not.
        assert set(await store.referenced(["old0", "old1", "old2", "new", "both"])) == {"old2", "new", "both"}
        removed = [await store.execution(execution_id) for execution_id in forgotten]
        assert [one.files_removed_at for one in removed if one] == [clock.now(), clock.now(), None]
        assert await store.envelope(old[0].execution_id) == old[0]

    async def test_an_execution_that_was_reopened_keeps_its_files(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make(attachments=(attachment("kept"),))
        await self._run(store, envelope)
        await store.commit([End(envelope.execution_id, State.FAILED, Outcome.FAILED, clock.now())])
        clock.advance(10)
        await store.commit([Reopen(envelope.execution_id, clock.now())])
        await store.commit([ForgetFiles((envelope.execution_id,), clock.now())])
        assert set(await store.referenced(["kept"])) == {"kept"}
        assert list(await store.executions_with_files(clock.now(), 10)) == []

    # --- What was refused

    def _refused(self, envelopes: Envelopes, flow_id: str = "orders", **fields: Any) -> RefusedRequest:
        told: dict[str, Any] = {
            "id": envelopes.ids.new(),
            "flow_id": flow_id,
            "at": envelopes.clock.now(),
            "code": "request.not_verified",
            "status": 401,
            "detail": "The sender could not be verified.",
            "method": "POST",
            "path": flow_id,
            "size": 12,
        }
        return RefusedRequest(**(told | fields))

    async def test_refused_requests_are_listed_newest_first_in_pages(self, store: Store, envelopes: Envelopes) -> None:
        made = [self._refused(envelopes, flow_id) for flow_id in ("orders", "-", "orders", "orders")]
        await store.commit([Refuse(tuple(made[:3])), Refuse(())])
        await store.commit([Refuse(tuple(made[3:]))])
        first = await store.refused(flow_id="orders", limit=2)
        assert (first.items, first.next) == ((made[3], made[2]), made[2].id)
        second = await store.refused(flow_id="orders", limit=2, cursor=first.next)
        assert (second.items, second.next) == ((made[0],), None)
        assert (await store.refused()).items == tuple(reversed(made))
        assert (await store.refused(flow_id="nobody")).items == ()
        with pytest.raises(ValueError, match="cursor"):
            await store.refused(cursor="x")

    async def test_a_refused_request_is_kept_whatever_the_sender_wrote(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        plain = self._refused(envelopes, size=2**62, client="2001:db8::1", body=b"\0\xff")
        strange = self._refused(envelopes, path="a\0b\ud800", detail="\0", method="\0", client=None)
        await store.commit([Refuse((plain, strange))])
        kept = (await store.refused()).items
        assert kept[1] == plain
        assert (kept[0].path, kept[0].detail) == ("a\ufffdb?", "\ufffd")

    async def test_of_each_flow_the_newest_refused_requests_are_kept(self, store: Store, envelopes: Envelopes) -> None:
        quiet = self._refused(envelopes, "quiet")
        await store.commit([Refuse((quiet,))])
        made = [self._refused(envelopes) for _ in range(REFUSED_KEPT * 3 + 1)]
        for start in range(0, len(made), 70):
            await store.commit([Refuse(tuple(made[start : start + 70]))])
        kept = (await store.refused(flow_id="orders", limit=len(made))).items
        assert kept == tuple(reversed(made[-REFUSED_KEPT:]))
        assert (await store.refused(flow_id="quiet")).items == (quiet,)

    # --- Versions and credentials

    async def test_a_published_version_stays_as_it_was(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([Publish("orders", "v1", b"{}", now), Publish("orders", "v2", b"[2]", now)])
        await store.commit([Publish("orders", "v1", b"other", now)])
        assert await store.flow_document("orders", "v1") == b"{}"
        assert await store.flow_document("orders", "v2") == b"[2]"

    async def test_credentials_are_made_replaced_and_removed(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        await store.commit(
            [PutCredential("b", "github", b"1", clock.now()), PutCredential("a", "sql", b"2", clock.now())]
        )
        clock.advance(1)
        await store.commit(
            [PutCredential("b", "hmac", b"\0\xff", clock.now()), PutCredential("b", "hmac", b"4", clock.now())]
        )
        stored = {kept.name: kept for kept in await store.credentials()}
        assert set(stored) == {"a", "b"}
        assert (stored["b"].type, stored["b"].ciphertext, stored["b"].updated_at) == ("hmac", b"4", clock.now())
        await store.commit([DropCredential("b"), DropCredential("nobody")])
        assert [kept.name for kept in await store.credentials()] == ["a"]

    async def test_a_ping_returns(self, store: Store) -> None:
        await store.ping()
        await store.ping()
        assert dict(await store.counts()) == {}
