"""What is kept of flows."""

from datetime import timedelta

from hookline.model.execution import State
from hookline.storage.merge_ports_changes_accept import Accept
from hookline.storage.merge_ports_changes_executions import Park, Start
from hookline.storage.merge_ports_changes_flows import OverrideState, Publish
from hookline.storage.merge_ports_queries_flows import StateOverride
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class FlowsContract(StoreFixtures):
    """What is kept of flows."""

    async def test_a_published_version_stays_as_it_was(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([Publish("orders", "v1", b"{}", now), Publish("orders", "v2", b"[2]", now)])
        await store.commit([Publish("orders", "v1", b"other", now)])
        assert await store.flow_document("orders", "v1") == b"{}"
        assert await store.flow_document("orders", "v2") == b"[2]"

    async def test_the_version_that_began_to_serve_last_comes_first(self, store: Store, envelopes: Envelopes) -> None:
        began = [envelopes.clock.now() + timedelta(hours=hours) for hours in range(5)]
        await store.commit([Publish("orders", "v1", b"{}", began[0]), Publish("invoices", "v9", b"{}", began[0])])
        await store.commit([Publish("orders", "v2", b"{}", began[1])])
        # It serves already, and has since it began to.
        await store.commit([Publish("orders", "v2", b"{}", began[2])])
        found = await store.flow_versions("orders")
        assert [(one.version, one.created_at, one.served_at) for one in found] == [
            ("v2", began[1], began[1]),
            ("v1", began[0], began[0]),
        ]
        await store.commit([Publish("orders", "v1", b"{}", began[3])])
        found = await store.flow_versions("orders")
        assert [(one.version, one.created_at, one.served_at) for one in found] == [
            ("v1", began[0], began[3]),
            ("v2", began[1], began[1]),
        ]
        assert await store.flow_versions("nobody's") == ()

    async def test_executions_that_have_not_ended_are_counted_by_their_version(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        for version in ("v1", "v1", "v2"):
            envelope = envelopes.make()
            await store.commit([Accept(envelope), Start(envelope.execution_id, version, now)])
        await store.commit([Park(envelope.execution_id, now, None, "callback")])
        await store.commit([Accept(envelopes.make()), Accept(envelopes.make("invoices"))])
        await self._bring(store, envelopes, State.SUCCEEDED)
        assert await store.executions_by_version("orders") == {
            ("v1", State.RUNNING): 2,
            ("v2", State.WAITING): 1,
            (None, State.QUEUED): 1,
        }

    async def test_what_operators_decide_about_flows_is_kept_until_they_decide_otherwise(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        await store.commit([OverrideState("orders", "paused", "active", now)])
        await store.commit([OverrideState("invoices", "stopped", "paused", now)])
        await store.commit([OverrideState("orders", "stopped", "active", now)])
        assert await store.state_overrides() == {
            "orders": StateOverride("stopped", "active", now),
            "invoices": StateOverride("stopped", "paused", now),
        }
        await store.commit([OverrideState("orders", None, "active", now), OverrideState("none", None, "active", now)])
        assert set(await store.state_overrides()) == {"invoices"}
