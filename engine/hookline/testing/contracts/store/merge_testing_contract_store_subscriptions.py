"""What is kept of flows' subscriptions with providers."""

from hookline.storage.merge_ports_changes_subscriptions import RewrapSubscription, SetSubscription
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class SubscriptionsContract(StoreFixtures):
    """What is kept of flows' subscriptions with providers."""

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
        await store.commit([RewrapSubscription("a", b"new", b"old"), RewrapSubscription("b", b"new", b"old")])
        await store.commit([RewrapSubscription("nobody", b"new", b"old")])
        assert dict(await store.subscriptions()) == {"a": b"new", "b": b"newer"}
