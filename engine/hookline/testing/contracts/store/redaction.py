"""The data key of an execution is stored as long as the execution may run again."""

from datetime import datetime

import msgspec
import pytest

from hookline.model.execution import ErrorInfo, Outcome, State
from hookline.model.message import Envelope
from hookline.storage.changes import (
    Accept,
    Cancel,
    DismissDeadLetter,
    End,
    Purge,
    RecordSteps,
    Reopen,
    SetDataKey,
    Start,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class DataKeysContract(StoreFixtures):
    """The data key of an execution is stored as long as the execution may run again."""

    async def test_what_is_encrypted_comes_back_as_it_was(self, store: Store, envelopes: Envelopes) -> None:
        redacted = _redacted(envelopes)
        now = envelopes.clock.now()
        entry = envelopes.record(1, encrypted=b"\0entry")
        await store.commit(
            [Accept(redacted), Start(redacted.execution_id, "v1", now), RecordSteps(redacted.execution_id, (entry,))]
        )
        found = await store.envelope(redacted.execution_id)
        assert found is not None
        assert (found.encrypted, found.data_key) == (b"\0sealed", b"\0key")
        assert list(await store.journal(redacted.execution_id)) == [entry]
        plain = envelopes.make()
        await store.commit([Accept(plain)])
        assert await store.data_keys("", 10) == [(redacted.execution_id, b"\0key")]

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_it_goes_with_every_end_but_a_failure(self, store: Store, envelopes: Envelopes, state: State) -> None:
        id_ = await _ended(store, envelopes, state)
        assert await _key(store, id_) == (b"\0key" if state is State.FAILED else None)

    async def test_it_goes_with_the_dead_letter(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await _ended(store, envelopes, State.FAILED)
        await store.commit([Reopen(id_, envelopes.clock.now())])
        assert await _key(store, id_) == b"\0key"
        other = await _ended(store, envelopes, State.FAILED)
        await store.commit([DismissDeadLetter(other, envelopes.clock.now())])
        assert await _key(store, other) is None

    async def test_it_goes_with_what_never_ran(self, store: Store, envelopes: Envelopes) -> None:
        queued, running = _redacted(envelopes), _redacted(envelopes)
        now = envelopes.clock.now()
        await store.commit([Accept(queued), Accept(running), Start(running.execution_id, "v1", now)])
        await store.commit([Cancel(queued.execution_id, now)])
        await store.commit([Cancel(running.execution_id, now)])
        assert await _key(store, queued.execution_id) is None
        assert await _key(store, running.execution_id) == b"\0key", "it has yet to end"

    async def test_it_goes_with_what_is_purged(self, store: Store, clock: ManualClock, envelopes: Envelopes) -> None:
        id_ = await _ended(store, envelopes, State.SUCCEEDED, key="k")
        await store.commit([SetDataKey(id_, b"1")])
        clock.advance(1)
        await store.commit([Purge((id_,), clock.now())])
        assert await store.data_keys("", 10) == []

    async def test_it_is_exchanged_only_for_that_which_was_there(self, store: Store, envelopes: Envelopes) -> None:
        redacted, plain = _redacted(envelopes), envelopes.make()
        await store.commit([Accept(redacted), Accept(plain)])
        id_ = redacted.execution_id
        await store.commit(
            [SetDataKey(id_, b"1"), SetDataKey(id_, b"2", b"other"), SetDataKey(plain.execution_id, b"3")]
        )
        assert await store.data_keys("", 10) == sorted([(id_, b"\0key"), (plain.execution_id, b"3")])
        await store.commit([SetDataKey(id_, b"4", b"\0key"), SetDataKey("none", b"5")])
        assert await _key(store, id_) == b"4"
        ended = await _ended(store, envelopes, State.SUCCEEDED)
        await store.commit([SetDataKey(ended, b"6", b"\0key")])
        assert await _key(store, ended) is None, "what is erased doesn't come back"

    async def test_keys_are_paged(self, store: Store, envelopes: Envelopes) -> None:
        made = [_redacted(envelopes) for _ in range(5)]
        await store.commit([Accept(one) for one in made])
        first = await store.data_keys("", 3)
        rest = await store.data_keys(first[-1][0], 3)
        assert [id_ for id_, _ in (*first, *rest)] == [one.execution_id for one in made]


def _redacted(envelopes: Envelopes, key: str | None = None) -> Envelope:
    return msgspec.structs.replace(envelopes.make(key=key), encrypted=b"\0sealed", data_key=b"\0key")


async def _ended(store: Store, envelopes: Envelopes, state: State, key: str | None = None) -> str:
    redacted = _redacted(envelopes, key)
    id_, now = redacted.execution_id, envelopes.clock.now()
    await store.commit([Accept(redacted), Start(id_, "v1", now), _end(id_, state, now)])
    return id_


def _end(id_: str, state: State, at: datetime) -> End:
    outcome = Outcome.COMPLETED if state is State.SUCCEEDED else Outcome(state.value)
    return End(id_, state, outcome, at, ErrorInfo("x", "x") if state is State.FAILED else None)


async def _key(store: Store, execution_id: str) -> bytes | None:
    return dict(await store.data_keys("", 100)).get(execution_id)
