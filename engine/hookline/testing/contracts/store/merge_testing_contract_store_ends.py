"""Steps wait for the ends of other executions."""

from hookline.model.execution import Outcome, State
from hookline.model.waits import FlowEnded, pack_callback
from hookline.storage.changes import Change
from hookline.storage.merge_ports_changes_accept import Accept
from hookline.storage.merge_ports_changes_callbacks import (
    Await,
    CallBack,
    Called,
    CalledBefore,
    NotAwaited,
    Settle,
    TimedOut,
    TimeOut,
)
from hookline.storage.merge_ports_changes_executions import Cancel, End, Park, Start
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class EndsContract(StoreFixtures):
    """Steps wait for the ends of other executions."""

    async def test_an_end_and_what_it_tells_a_waiting_step_are_one(self, store: Store, envelopes: Envelopes) -> None:
        parent, child = await self._calling(store, envelopes)
        told = _told(envelopes, parent, child)
        now = envelopes.clock.now()
        results = await store.commit([End(child, State.SUCCEEDED, Outcome.COMPLETED, now), told])
        assert results == [None, Called(parent)]
        waiting = await store.execution(parent)
        assert waiting is not None
        assert (waiting.state, waiting.ready_at) == (State.WAITING, now)
        assert await store.callbacks(parent) == {"call": told.payload}

    async def test_a_step_that_waits_hears_of_what_is_cancelled_before_it_ran(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes, started=False)
        told, now = _told(envelopes, parent, child), envelopes.clock.now()
        assert await store.commit([Cancel(child, now, told)]) == [Called(parent)]
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
        assert await store.commit([first]) == [Called(parent)]
        assert await store.commit([second]) == [CalledBefore(parent, identical=True)]
        other, its_child = await self._calling(store, envelopes)
        assert await store.commit([_over(envelopes, other)]) == [TimedOut()]
        assert await store.commit([_told(envelopes, other, its_child)]) == [NotAwaited()]

    async def test_that_nothing_came_in_time_stays_so_however_often_it_is_asked(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        """Whoever asked may have died before it could note the answer."""
        late, _ = await self._calling(store, envelopes)
        assert await store.commit([_over(envelopes, late)]) == [TimedOut()]
        assert await store.commit([_over(envelopes, late)]) == [TimedOut()]
        called, child = await self._calling(store, envelopes)
        await store.commit([_told(envelopes, called, child)])
        assert await store.commit([_over(envelopes, called)]) == [Called(called)]

    async def test_a_step_that_waits_anew_hears_only_what_comes_for_the_new_wait(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        parent, child = await self._calling(store, envelopes)
        await store.commit([_told(envelopes, parent, child), Settle(parent, "call")])
        assert await store.callbacks(parent) == {}
        await store.commit([Await(parent, "call#2", "orders", "call", None, envelopes.clock.now())])
        assert await store.callbacks(parent) == {}
        assert await store.waits(parent) == ("call#2",)

    async def _calling(self, store: Store, envelopes: Envelopes, *, started: bool = True) -> tuple[str, str]:
        """An execution that waits for the end of another, which has started or not."""
        parent, child = envelopes.make(), envelopes.make("invoices")
        now = envelopes.clock.now()
        await self._run(store, parent)
        changes: list[Change] = [Await(parent.execution_id, "call", "orders", "call", None, now), Accept(child)]
        if started:
            changes.append(Start(child.execution_id, "v1", now))
        await store.commit([*changes, Park(parent.execution_id, now, None, "flow")])
        return parent.execution_id, child.execution_id


def _told(envelopes: Envelopes, parent: str, child: str) -> CallBack:
    payload = pack_callback(FlowEnded(child, Outcome.COMPLETED))
    now = envelopes.clock.now()
    return CallBack(envelopes.ids.new(), parent, "call", "orders", "call", None, child.encode(), now, None, payload)


def _over(envelopes: Envelopes, execution_id: str) -> TimeOut:
    return TimeOut(envelopes.ids.new(), execution_id, "call", "orders", "call", envelopes.clock.now())
