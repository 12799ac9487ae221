"""What is kept of flows."""

from hookline.ports import Publish, Store
from hookline.testing.contract_store.store_fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class FlowsContract(StoreFixtures):
    """What is kept of flows."""

    async def test_a_published_version_stays_as_it_was(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([Publish("orders", "v1", b"{}", now), Publish("orders", "v2", b"[2]", now)])
        await store.commit([Publish("orders", "v1", b"other", now)])
        assert await store.flow_document("orders", "v1") == b"{}"
        assert await store.flow_document("orders", "v2") == b"[2]"
