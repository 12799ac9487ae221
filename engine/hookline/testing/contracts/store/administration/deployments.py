"""Deployments are stored."""

from typing import Any

import pytest

from hookline.kernel.errors import DeploymentConflict, VersionOutdated
from hookline.model.access import FOLDER, Actor, AuditEntry
from hookline.model.deployments_and_drafts import DeployedFlow, Deployment, FlowFile, ServedFlow
from hookline.model.execution import State
from hookline.model.message import Envelope
from hookline.storage.change_declarations import Accept, Deploy, FilesWritten, RecordAudit, SetCases, Start, WriteFiles
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_ANN = Actor("token", "ann", "192.0.2.1")


class DeploymentsContract(StoreFixtures):
    """The set of served flows is stored, and each change of it."""

    def _deployment(self, envelopes: Envelopes, *flows: DeployedFlow, **fields: Any) -> Deployment:
        told: dict[str, Any] = {"author": _ANN, "flows": flows}
        return Deployment(envelopes.ids.new(), envelopes.clock.now(), **(told | fields))

    async def test_deployments_change_the_flows_that_are_served(self, store: Store, envelopes: Envelopes) -> None:
        first = self._deployment(envelopes, DeployedFlow("a", "1"), DeployedFlow("b", "1"), message="first")
        second = self._deployment(
            envelopes, DeployedFlow("a", "2", "1"), DeployedFlow("b", None, "1"), DeployedFlow("c", "1"), author=FOLDER
        )
        await store.commit([Deploy(first)])
        await store.commit([Deploy(second)])
        assert list(await store.served_flows()) == [ServedFlow("a", "2", second.id), ServedFlow("c", "1", second.id)]
        assert await store.served_after(first.id) == {"a": "1", "b": "1"}
        assert await store.served_after(second.id) == {"a": "2", "c": "1"}
        assert await store.deployment(first.id) == first
        assert await store.deployment("nothing") is None
        third = self._deployment(envelopes, DeployedFlow("b", "1"), rollback_of=first.id)
        await store.commit([Deploy(third)])
        assert await store.served_after(third.id) == {"a": "2", "b": "1", "c": "1"}
        page = await store.deployments(limit=2)
        assert (page.items, page.next) == ((third, second), second.id)
        assert (await store.deployments(cursor=page.next)).items == (first,)
        with pytest.raises(ValueError, match="cursor"):
            await store.deployments(cursor="x")

    async def test_of_some_flows_only_their_parts_are_listed(self, store: Store, envelopes: Envelopes) -> None:
        both = self._deployment(envelopes, DeployedFlow("a", "1"), DeployedFlow("b", "1"))
        other = self._deployment(envelopes, DeployedFlow("c", "1"))
        await store.commit([Deploy(both), Deploy(other)])
        (shown,) = (await store.deployments(flows=["b", "x"])).items
        assert (shown.id, shown.flows) == (both.id, (DeployedFlow("b", "1"),))

    async def test_a_flow_that_was_changed_meanwhile_is_not_deployed(self, store: Store, envelopes: Envelopes) -> None:
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("a", "1")))])
        entry = AuditEntry(envelopes.ids.new(), envelopes.clock.now(), _ANN, "flow.deploy", "a")
        for wrong in (DeployedFlow("a", "2", "0"), DeployedFlow("a", "2"), DeployedFlow("b", "2", "1")):
            late = self._deployment(envelopes, DeployedFlow("z", "1"), wrong)
            with pytest.raises(DeploymentConflict):
                await store.commit([RecordAudit((entry,)), Deploy(late)])
        assert [flow.flow_id for flow in await store.served_flows()] == ["a"]
        assert len((await store.deployments()).items) == 1
        assert (await store.audit()).items == ()

    @pytest.mark.cluster_rule("C12")
    async def test_an_execution_starts_only_on_the_version_that_serves(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        queued, new, last = envelopes.make(), envelopes.make(), envelopes.make()
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", "1"))), Accept(queued)])
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", "2", "1")))])

        def start(of: Envelope, version: str) -> Start:
            return Start(of.execution_id, version, now, serving=True)

        with pytest.raises(VersionOutdated):
            await store.commit([start(queued, "1")])
        with pytest.raises(VersionOutdated):
            await store.commit([Accept(new, start=start(new, "1"))])
        assert await store.execution(new.execution_id) is None
        await store.commit([start(queued, "2")])
        await store.commit([Accept(new, start=start(new, "2"))])
        for one in (queued, new):
            started = await store.execution(one.execution_id)
            assert started is not None
            assert (started.state, started.flow_version) == (State.RUNNING, "2")
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", None, "2")))])
        await store.commit([Accept(last)])
        with pytest.raises(VersionOutdated):
            await store.commit([start(last, "2")])
        # An operator replays a version of choice.
        await store.commit([Start(last.execution_id, "1", now)])

    async def test_texts_are_kept_until_they_are_written(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        old, cases = FlowFile("a", "flow", b"1", b"\0\xff"), FlowFile("a", "cases", None)
        await store.commit([WriteFiles((old, cases), now)])
        new = FlowFile("a", "flow", b"2", b"3")
        await store.commit([WriteFiles((new,), now)])
        assert list(await store.unwritten_files()) == [cases, new]
        await store.commit([FilesWritten((("a", "cases"), ("b", "flow")))])
        assert list(await store.unwritten_files()) == [new]

    async def test_the_cases_of_a_flow_are_kept_and_removed(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([SetCases("a", b"1", now)])
        await store.commit([SetCases("a", b"[]", now), SetCases("b", None, now)])
        assert (await store.flow_cases("a"), await store.flow_cases("b")) == (b"[]", None)
        await store.commit([SetCases("a", None, now)])
        assert await store.flow_cases("a") is None
