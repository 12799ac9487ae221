"""Values that are stored encrypted: credentials, subscriptions, and the data keys of executions that may run again."""

from datetime import datetime

import msgspec
import pytest

from hookline.model.execution import ErrorInfo, Outcome, State
from hookline.model.message import Envelope
from hookline.storage.change_declarations import (
    Accept,
    Cancel,
    DismissDeadLetter,
    DropCredential,
    End,
    Purge,
    PutCredential,
    PutTokens,
    RecordSteps,
    ReencryptSubscription,
    Reopen,
    SetDataKey,
    SetSubscription,
    Start,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class CredentialsContract(StoreFixtures):
    """Credentials are stored."""

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
        assert (stored["b"].flows, stored["b"].hosts) == ((), ())
        await store.commit([DropCredential("b"), DropCredential("nobody")])
        assert [kept.name for kept in await store.credentials()] == ["a"]

    async def test_a_credential_has_flows_and_hosts_which_change_without_its_tokens(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = clock.now()
        await store.commit([PutCredential("a", "acme", b"1", first, ("billing-*", "x"), ("*.acme.example",))])
        await store.commit([PutTokens("a", first, b"tokens")])
        (kept,) = await store.credentials()
        assert (kept.flows, kept.hosts, kept.tokens) == (("billing-*", "x"), ("*.acme.example",), b"tokens")
        await store.commit([PutCredential("a", "acme", b"1", first, hosts=("acme.example:8443", "b.example"))])
        (kept,) = await store.credentials()
        assert (kept.flows, kept.hosts, kept.tokens) == ((), ("acme.example:8443", "b.example"), b"tokens")
        clock.advance(1)
        await store.commit([PutCredential("a", "acme", b"1", clock.now())])
        (kept,) = await store.credentials()
        assert (kept.flows, kept.hosts, kept.tokens) == ((), (), None)

    async def test_tokens_are_of_the_credential_that_was_there_and_go_with_it(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = clock.now()
        await store.commit([PutCredential("a", "acme", b"1", first), PutCredential("b", "acme", b"1", first)])
        await store.commit([PutTokens("a", first, b"old"), PutTokens("nobody", first, b"x")])
        await store.commit([PutTokens("a", first, b"\0\xff"), PutTokens("b", first, b"b")])
        assert {one.name: one.tokens for one in await store.credentials()} == {"a": b"\0\xff", "b": b"b"}
        clock.advance(1)
        await store.commit([PutCredential("a", "acme", b"2", clock.now()), PutTokens("b", first, None)])
        # Tokens that were requested with the replaced credential are not stored.
        await store.commit([PutTokens("a", first, b"late")])
        assert {one.name: one.tokens for one in await store.credentials()} == {"a": None, "b": None}
        # Others have been stored meanwhile.
        await store.commit(
            [PutTokens("b", first, b"1", before=(b"0",)), PutTokens("b", clock.now(), b"2", before=(b"0",))]
        )
        assert {one.name: one.tokens for one in await store.credentials()} == {"a": None, "b": None}
        await store.commit([PutTokens("a", clock.now(), b"1", before=(None,))])
        await store.commit([PutTokens("a", clock.now(), b"2", before=(None,))])
        await store.commit([PutTokens("a", clock.now(), b"3", before=(b"1",))])
        assert {one.name: one.tokens for one in await store.credentials()} == {"a": b"3", "b": None}
        # One commit encrypts both anew.
        await store.commit([PutCredential("a", "acme", b"3", first), PutTokens("a", first, b"3")])
        (kept, _) = await store.credentials()
        assert (kept.ciphertext, kept.tokens) == (b"3", b"3")
        await store.commit([DropCredential("a")])
        assert [one.name for one in await store.credentials()] == ["b"]


class SubscriptionsContract(StoreFixtures):
    """Subscriptions with providers are stored."""

    async def test_a_subscription_is_kept_until_it_is_removed(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        assert await store.subscription("orders") is None
        await store.commit([SetSubscription("orders", b"1", now), SetSubscription("orders", b"\0\xff", now)])
        await store.commit([SetSubscription("invoices", b"2", now)])
        assert await store.subscription("orders") == b"\0\xff"
        assert dict(await store.subscriptions()) == {"orders": b"\0\xff", "invoices": b"2"}
        await store.commit([SetSubscription("orders", None, now), SetSubscription("nobody", None, now)])
        assert dict(await store.subscriptions()) == {"invoices": b"2"}

    async def test_it_is_encrypted_anew_only_where_it_is_what_it_was(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([SetSubscription("a", b"old", now), SetSubscription("b", b"newer", now)])
        await store.commit([ReencryptSubscription("a", b"new", b"old"), ReencryptSubscription("b", b"new", b"old")])
        await store.commit([ReencryptSubscription("nobody", b"new", b"old")])
        assert dict(await store.subscriptions()) == {"a": b"new", "b": b"newer"}


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
