"""Executions move only where they may, and a step that waits for a called flow is told of its end."""

from datetime import timedelta

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.callbacks_and_pages import FlowEnded, pack_callback
from hookline.model.execution import FINAL, TRANSITIONS, ErrorInfo, Outcome, State
from hookline.storage.change_declarations import (
    Accept,
    BeginWait,
    CallbackRepeated,
    CallbackStored,
    Cancel,
    Change,
    End,
    EndWait,
    NotWaiting,
    Park,
    Rebind,
    RecordSteps,
    Reopen,
    Resume,
    Start,
    StoreCallback,
    TimeOutWait,
    Unblock,
    WaitTimedOut,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import OUTCOMES, StoreFixtures
from hookline.testing.envelopes import Envelopes


class StatesContract(StoreFixtures):
    """Executions move only where they may, and a step that waits for a called flow is told of its end."""

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
        change = End(id_, end, OUTCOMES[end], envelopes.clock.now())
        if end in TRANSITIONS[state]:
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
                "record": RecordSteps(id_, (envelopes.record(1),)),
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

    async def test_an_execution_is_moved_to_another_version_only_where_it_waits(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        for state in State:
            id_ = await self._bring(store, envelopes, state)
            change = Rebind(id_, "v2", now, 0, b'{"n":1}')
            if state is State.WAITING:
                assert await store.commit([change]) == [None]
                moved = await store.execution(id_)
                assert moved is not None
                assert (moved.state, moved.flow_version, moved.vars, moved.ready_at) == (state, "v2", b'{"n":1}', now)
            else:
                with pytest.raises(IllegalStateChange, match=f"is {state}"):
                    await store.commit([change])

    async def test_an_execution_that_has_gone_on_or_never_ran_or_is_to_be_cancelled_is_not_moved(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        gone_on = await self._bring(store, envelopes, State.RUNNING)
        await store.commit([RecordSteps(gone_on, (envelopes.record(1),)), Park(gone_on, now, None, "callback")])
        never_ran = envelopes.make()
        await store.commit([Accept(never_ran), Park(never_ran.execution_id, now, None, "blocked: x")])
        cancelled = await self._bring(store, envelopes, State.WAITING)
        await store.commit([Cancel(cancelled, now)])
        for id_ in (gone_on, never_ran.execution_id, cancelled):
            with pytest.raises(IllegalStateChange, match="can be moved"):
                await store.commit([Rebind(id_, "v2", now, 0)])
        await store.commit([Rebind(gone_on, "v2", now, 1)])

    async def test_what_was_moved_meanwhile_does_not_go_on_as_what_it_was(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        id_ = await self._bring(store, envelopes, State.WAITING)
        await store.commit([Rebind(id_, "v2", now, 0)])
        with pytest.raises(IllegalStateChange, match="moved to another version"):
            await store.commit([Resume(id_, now, "v1")])
        await store.commit([Resume(id_, now, "v2")])

    async def test_a_failed_execution_is_moved_as_it_is_reopened_and_keeps_its_turn(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now, later = envelopes.clock.now(), envelopes.clock.now() + timedelta(hours=1)
        first, second = envelopes.make(order_key="k"), envelopes.make(order_key="k")
        await store.commit([Accept(first), Accept(second), Start(first.execution_id, "v1", now)])
        await store.commit([End(first.execution_id, State.FAILED, Outcome.FAILED, now)])
        await store.commit([Reopen(first.execution_id, later), Rebind(first.execution_id, "v2", later, 0)])
        reopened = await store.execution(first.execution_id)
        assert reopened is not None
        # Another of its key goes first by now.
        assert (reopened.flow_version, reopened.reason, reopened.ready_at) == ("v2", "order", None)

    async def test_a_change_of_no_execution_says_so(self, store: Store, envelopes: Envelopes) -> None:
        nobody, now = envelopes.ids.new(), envelopes.clock.now()
        for change in (
            Start(nobody, "v1", now),
            Resume(nobody, now),
            Park(nobody, now, None, "x"),
            RecordSteps(nobody, (envelopes.record(1),)),
            End(nobody, State.FAILED, Outcome.FAILED, now),
            Reopen(nobody, now),
            Rebind(nobody, "v2", now, 0),
        ):
            with pytest.raises(ExecutionNotFound, match=nobody):
                await store.commit([change])

    async def test_a_cancellation_ends_with_the_execution_and_a_retry_does_not_meet_it(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        id_ = await self._bring(store, envelopes, State.RUNNING)
        await store.commit([Cancel(id_, now)])
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, now)])
        await store.commit([Reopen(id_, now)])
        reopened = await store.execution(id_)
        assert reopened is not None
        assert (reopened.state, reopened.cancel_asked_at) == (State.WAITING, None)

    async def test_unblocking_makes_ready_what_is_blocked_and_nothing_else(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        later = now + timedelta(days=1)
        parked = (
            ("orders", None, "blocked: x", now),
            ("orders", None, "callback", None),
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


class EndsContract(StoreFixtures):
    """Steps wait for the ends of other executions."""

    async def test_an_end_and_what_it_tells_a_waiting_step_are_one(self, store: Store, envelopes: Envelopes) -> None:
        parent, child = await self._calling(store, envelopes)
        told = _told(envelopes, parent, child)
        now = envelopes.clock.now()
        results = await store.commit([End(child, State.SUCCEEDED, Outcome.COMPLETED, now), told])
        assert results == [None, CallbackStored(parent)]
        waiting = await store.execution(parent)
        assert waiting is not None
        assert (waiting.state, waiting.ready_at) == (State.WAITING, now)
        assert await store.callbacks(parent) == {"call": told.payload}

    async def test_a_step_that_waits_hears_of_what_is_cancelled_before_it_ran(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes, started=False)
        told, now = _told(envelopes, parent, child), envelopes.clock.now()
        assert await store.commit([Cancel(child, now, told)]) == [CallbackStored(parent)]
        ended = await store.execution(child)
        assert ended is not None
        assert ended.state is State.CANCELLED
        assert await store.callbacks(parent) == {"call": told.payload}

    async def test_what_runs_tells_of_its_end_itself_when_it_is_cancelled(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes)
        assert await store.commit([Cancel(child, envelopes.clock.now(), _told(envelopes, parent, child))]) == [None]
        assert await store.callbacks(parent) == {}

    async def test_nobody_is_told_twice_and_not_after_the_step_has_given_up(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes)
        first, second = _told(envelopes, parent, child), _told(envelopes, parent, child)
        assert await store.commit([first]) == [CallbackStored(parent)]
        assert await store.commit([second]) == [CallbackRepeated(parent, identical=True)]
        other, its_child = await self._calling(store, envelopes)
        assert await store.commit([_over(envelopes, other)]) == [WaitTimedOut()]
        assert await store.commit([_told(envelopes, other, its_child)]) == [NotWaiting()]

    async def test_that_nothing_came_in_time_stays_so_however_often_it_is_asked(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        """The process may have died before it noted the answer."""
        late, _ = await self._calling(store, envelopes)
        assert await store.commit([_over(envelopes, late)]) == [WaitTimedOut()]
        assert await store.commit([_over(envelopes, late)]) == [WaitTimedOut()]
        called, child = await self._calling(store, envelopes)
        await store.commit([_told(envelopes, called, child)])
        assert await store.commit([_over(envelopes, called)]) == [CallbackStored(called)]

    async def test_a_step_that_waits_anew_hears_only_what_comes_for_the_new_wait(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes)
        await store.commit([_told(envelopes, parent, child), EndWait(parent, "call")])
        assert await store.callbacks(parent) == {}
        await store.commit([BeginWait(parent, "call#2", "orders", "call", None, envelopes.clock.now())])
        assert await store.callbacks(parent) == {}
        assert await store.waits(parent) == ("call#2",)

    async def test_a_step_that_waits_anew_after_nothing_came_in_time_takes_what_comes(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes)
        assert await store.commit([_over(envelopes, parent), EndWait(parent, "call")]) == [WaitTimedOut(), None]
        await store.commit([BeginWait(parent, "call", "orders", "call", None, envelopes.clock.now())])
        assert await store.commit([_told(envelopes, parent, child)]) == [CallbackStored(parent)]

    async def test_one_that_is_to_be_cancelled_waits_only_where_it_knows(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now, later = envelopes.clock.now(), envelopes.clock.now() + timedelta(minutes=5)
        for knows in (False, True):
            envelope = envelopes.make()
            id_ = envelope.execution_id
            await self._run(store, envelope)
            await store.commit([Cancel(id_, now)])
            await store.commit([Park(id_, now, later, "sleep", cancelling=knows)])
            execution = await store.execution(id_)
            assert execution is not None
            assert execution.ready_at == (later if knows else now)

    async def test_one_that_cannot_be_loaded_is_not_made_ready_by_a_callback_that_has_come(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        parent, child = await self._calling(store, envelopes)
        await store.commit([_told(envelopes, parent, child)])
        for unloaded in (False, True):
            await store.commit([Resume(parent, now), Park(parent, now, None, "blocked: x", unloaded=unloaded)])
            execution = await store.execution(parent)
            assert execution is not None
            assert execution.ready_at == (None if unloaded else now)

    async def test_the_time_limit_begins_anew_when_a_reopened_execution_resumes(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now, later = envelopes.clock.now(), envelopes.clock.now() + timedelta(hours=1)
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await store.commit([Accept(envelope), Start(id_, "v1", now, None, now)])
        await store.commit([End(id_, State.FAILED, Outcome.TIMED_OUT, now)])
        limits = []
        for change in (Reopen(id_, now), Resume(id_, now, None, later), Park(id_, now, now, "retry"), Resume(id_, now)):
            await store.commit([change])
            execution = await store.execution(id_)
            assert execution is not None
            limits.append(execution.deadline_at)
        assert limits == [None, later, later, later]

    async def _calling(self, store: Store, envelopes: Envelopes, *, started: bool = True) -> tuple[str, str]:
        """An execution that waits for the end of another, which has started or not."""
        parent, child = envelopes.make(), envelopes.make("invoices")
        now = envelopes.clock.now()
        await self._run(store, parent)
        changes: list[Change] = [BeginWait(parent.execution_id, "call", "orders", "call", None, now), Accept(child)]
        if started:
            changes.append(Start(child.execution_id, "v1", now))
        await store.commit([*changes, Park(parent.execution_id, now, None, "flow")])
        return parent.execution_id, child.execution_id


def _told(envelopes: Envelopes, parent: str, child: str) -> StoreCallback:
    payload = pack_callback(FlowEnded(child, Outcome.COMPLETED))
    now = envelopes.clock.now()
    return StoreCallback(
        envelopes.ids.new(), parent, "call", "orders", "call", None, child.encode(), now, None, payload
    )


def _over(envelopes: Envelopes, execution_id: str) -> TimeOutWait:
    return TimeOutWait(envelopes.ids.new(), execution_id, "call", "orders", "call", envelopes.clock.now())
