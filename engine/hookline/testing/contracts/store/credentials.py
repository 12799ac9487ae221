"""Credentials and subscriptions are stored."""

from hookline.storage.changes import DropCredential, PutCredential, PutTokens, ReencryptSubscription, SetSubscription
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
        await store.commit([DropCredential("b"), DropCredential("nobody")])
        assert [kept.name for kept in await store.credentials()] == ["a"]

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
        # What was asked for with the credential that is no more is no good with this one.
        await store.commit([PutTokens("a", first, b"late")])
        assert {one.name: one.tokens for one in await store.credentials()} == {"a": None, "b": None}
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
