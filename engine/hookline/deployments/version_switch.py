"""The switch of a running engine to the current versions and states of its flows."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hookline.catalog.catalog import CatalogChanges
from hookline.catalog.versions_and_states import FlowStates, VersionResolver
from hookline.deployments.deployer import Deployer
from hookline.deployments.deployment_request import CheckedDeployment, Deployed, DeploymentRequest
from hookline.deployments.flow_storage import FlowStorage
from hookline.engine_options import EngineOptions
from hookline.executions.delivery.dispatcher import Dispatcher
from hookline.executions.delivery.runner import Runner
from hookline.flows.authoring.formatter import with_silent_keys
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.cancellation import shields
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import DeploymentConflict, FlowNotFound, StoreError
from hookline.kernel.json import encode
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.model.access import Actor
from hookline.model.flow import ServingState
from hookline.sources.supervisor import SourceSupervisor
from hookline.storage.change_declarations import Unblock
from hookline.storage.cluster import Membership
from hookline.storage.queue import Queue
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

BROKEN: Final = "flow is broken"
"""The log event of a problem in the file of a flow."""
NOT_RUN: Final = "this node accepts the messages of a flow and doesn't run it, since it lacks actions of the flow"
"""The log event of a flow that serves, and whose actions aren't installed here."""
#: The concurrency of a flow that no longer exists but has executions left.
_LEFT_BEHIND: Final = 16
_NODES_EVERY: Final = 1.0
"""Seconds between two checks whether this node is alone."""
#: The number of times that a start tries to deploy its folder while other nodes deploy.
_START_TRIES: Final = 6


class VersionSwitch:
    """Switches the engine to the versions that are deployed, and to the states that operators have set."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        flow_storage: FlowStorage,
        deployer: Deployer,
        versions: VersionResolver,
        states: FlowStates,
        dispatcher: Dispatcher,
        runner: Runner,
        sources: SourceSupervisor,
        options: EngineOptions,
        clock: Clock,
        log: Any,
        store_problem: StoreProblem,
        membership: Membership,
    ) -> None:
        self._membership = membership
        self._store = store
        self._queue = queue
        self._flow_storage = flow_storage
        self._deployer = deployer
        self._catalog = flow_storage.catalog
        self._versions = versions
        self._states = states
        self._dispatcher = dispatcher
        self._runner = runner
        self._sources = sources
        self._options = options
        self._clock = clock
        self._log = log
        self._store_problem = store_problem
        self._unloaded = OngoingProblem(
            log, clock, "changed flows can't be loaded; trying again", "changed flows can be loaded again"
        )
        self._unblock = asyncio.Event()
        self._again = asyncio.Event()
        self._opening = asyncio.Lock()
        self._started = False

    async def load(self) -> None:
        """Read the flows and the states that operators decided. Raises StoreError and OSError."""
        await self._deployer.load()
        await self._states.read()

    async def start(self) -> None:
        """Deploy what has changed in the flow storage, wake blocked executions, begin to deliver. Raises StoreError."""
        self._started = True
        await self._deploy_at_start()
        await self._switch()

    async def _deploy_at_start(self) -> None:
        """Deploy what has changed in the flow storage, or do it later if others are changing it just now.

        Of nodes that start at the same time, one deploys it.
        """
        for remaining in reversed(range(_START_TRIES)):
            try:
                done = await self._deployer.refresh()
            except DeploymentConflict:
                if not remaining:
                    raise
            else:
                if not done:
                    self._again.set()
                return

    async def refresh(self) -> bool:
        """Deploy what has changed in the flow storage. Raises StoreError and OSError; both may be tried again.

        Return false if others are changing the flows just now. Then nothing is deployed.
        """
        done = await self._deployer.refresh()
        await self._switch()
        return done

    async def adopt(self) -> None:
        """Serve what another node has deployed, and the states that were set there. Raises StoreError.

        If the flow storage can't be read now, that is tried again later.
        """
        try:
            done = await self._deployer.refresh()
        except (OSError, DeploymentConflict) as error:
            self._unloaded.noticed(error=str(error))
            done = False
        if not done:
            # When this returns, the others are told that this node serves what they have deployed.
            await self._deployer.serve_deployed()
            self._again.set()
        await self._switch()

    @shields
    async def deploy(self, checked: CheckedDeployment) -> Deployed:
        """Apply a deployment: its versions serve when this returns, on all nodes but those that it names.

        See `Deployer.deploy`.
        """
        try:
            deployed = await self._deployer.deploy(checked)
        except StoreError:
            # It may have taken place, and files may have to be written.
            self._again.set()
            raise
        late: Sequence[str] = ()
        try:
            await self._switch()
        except StoreError as error:
            self._store_problem.report(error)
            self._again.set()
            late = (self._membership.node.name,)
        return replace(deployed, pending=(*late, *await self._membership.adopted()))

    async def check(self, request: DeploymentRequest, *, prefixed: bool = False) -> CheckedDeployment:
        """Check a deployment. See `Deployer.check`."""
        return await self._deployer.check(request, prefixed=prefixed)

    async def with_title(self, flow_id: str, document: bytes) -> bytes:
        """Return a document of a flow with the title that the flow has now."""
        current = await self._flow_storage.document(flow_id)
        return document if current is None else encode(with_silent_keys(read(document).value, current))

    def adopted(self, changes: CatalogChanges) -> None:
        """Note that other versions are active; log the problems of those that can't be."""
        for entry in changes.broken:
            if entry.flow is not None and entry.flow.missing_actions:
                self._log.warning(NOT_RUN, flow_id=entry.id, actions=sorted(entry.flow.missing_actions))
                continue
            serving = entry.flow.version if entry.flow is not None else None
            for problem in entry.errors:
                self._log.error(BROKEN, flow_id=entry.id, problem=str(problem), still_serving=serving)
        self._runner.causes_changed()

    async def _switch(self) -> None:
        """Deliver to the versions and states that are active. Raises StoreError."""
        if not self._started:
            await self._states.read()
            return
        await self._states.load(self._flows())
        await self.open_lanes()
        await self._unblock_all()

    @shields
    async def set_state(self, flow_id: str, state: ServingState | None, *, by: Actor) -> Collection[str]:
        """Set a flow's state: active, paused or stopped; None for the state in its file.

        Return the names of the nodes that may still act by the state before. Raises FlowNotFound if no version of the
        flow is served, and StoreError.
        """
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._catalog.missing(flow_id)
        if entry.flow is None:
            raise FlowNotFound(f"no version of flow {flow_id!r} serves")
        await self._states.decide(entry.flow, state, by=by)
        self._runner.causes_changed()
        await self.open_lanes()
        await self._unblock_all()
        return await self._membership.adopted()

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Deliver a ready execution."""
        if flow_id not in self._dispatcher.lanes():
            # The lane of a flow that no longer exists is closed when no work is left.
            await self.open_lanes()
        await self._queue.wake(flow_id, execution_id)

    async def open_lanes(self) -> None:
        """Open a lane for each flow that is served or has work left."""
        if self._options.role == "webhook" or not self._started:
            return
        async with self._opening:
            with_work = await self._store.flows_with_work()
            flows = self._flows()
            left = self._left_to_others()
            # Paused and stopped flows start no executions; started executions continue.
            idle = {flow.id for flow in flows if self._states.of(flow) != "active"}
            lanes = {
                flow.id: (flow.settings.concurrency, flow.id in idle, flow.settings.concurrency_set)
                for flow in flows
                if flow.id not in left
            }
            for flow_id in set(with_work) - left:
                # These flows were deleted, or were invalid at the start. Their started executions continue with their
                # own version; their queued executions are blocked with the reason.
                lanes.setdefault(flow_id, (_LEFT_BEHIND, False, False))
            # A lane that starts nothing gives back the executions that this node claimed while it was alone.
            lanes |= dict.fromkeys(self._dispatcher.lanes() & left, (_LEFT_BEHIND, True, False))
            for flow_id in self._dispatcher.lanes() - lanes.keys():
                await self._dispatcher.close(flow_id)
            for flow_id, (concurrency, begun_only, everywhere) in lanes.items():
                await self._dispatcher.open(flow_id, concurrency, begun_only=begun_only, everywhere=everywhere)
            if self._options.triggers:
                self._sources.adopt(
                    [flow for flow in flows if flow.id not in idle],
                    [flow for flow in flows if self._states.of(flow) == "paused"],
                    {flow_id for flow_id, entry in self._catalog.entries.items() if entry.flow is None},
                )

    def _left_to_others(self) -> frozenset[str]:
        """The ids of the flows that serve, and that this node leaves to other nodes, because it can't run them."""
        if self._membership.alone:
            return frozenset()  # their executions are blocked with the reason
        return frozenset(self.lacking())

    def lacking(self) -> Mapping[str, Sequence[str]]:
        """The flows that serve and can't run here, each with the names of its missing actions. These are empty if more
        than actions is missing."""
        return {
            flow_id: () if entry.flow is None else sorted(entry.flow.missing_actions)
            for flow_id, entry in self._catalog.entries.items()
            if entry.file is None and (entry.flow is None or entry.flow.missing_actions)
        }

    async def follow_nodes(self) -> None:
        """Leave executions that can't run here to other nodes; while there are none, block them."""
        alone: bool | None = None
        while True:
            await asyncio.sleep(_NODES_EVERY)  # other nodes don't follow the engine's clock
            before, alone = alone, self._membership.alone
            # A change of the flows opens the lanes itself (`_switch`).
            if before == alone or not self.lacking():
                continue
            try:
                await self.open_lanes()
                await self._unblock_all()
            except StoreError as error:
                self._store_problem.report(error)
                alone = before

    def credential_changed(self, _name: str) -> None:
        """Wake the executions and sources that the credential blocked."""
        self._runner.causes_changed()
        self._sources.try_again()
        self._unblock.set()

    async def follow_flow_storage(self) -> None:
        """Deploy each change that others make in the flow storage. One node does so for all."""
        async for _ in self._flow_storage.changes():
            await self._refresh_until_done()

    async def follow_failures(self) -> None:
        """Refresh after a deployment that couldn't be made, or whose files have failed, to serve what was stored."""
        while True:
            await self._again.wait()
            self._again.clear()
            await self._clock.sleep(STORE_RETRY)
            await self._refresh_until_done()

    async def _refresh_until_done(self) -> None:
        while True:
            try:
                while not await self.refresh():
                    await self._flow_storage.settled()
            except (StoreError, OSError, DeploymentConflict) as error:
                # After a conflict, what is served is read again.
                self._unloaded.noticed(error=str(error))
                await self._clock.sleep(STORE_RETRY)
            else:
                self._unloaded.absent()
                break

    async def follow_credentials(self) -> None:
        """Wake blocked executions after each change of a credential."""
        while True:
            await self._unblock.wait()
            self._unblock.clear()
            try:
                await self._unblock_all()
            except StoreError as error:
                self._store_problem.report(error)
                await self._clock.sleep(STORE_RETRY)
                self._unblock.set()

    def _flows(self) -> list[CompiledFlow]:
        return [entry.flow for entry in self._catalog.entries.values() if entry.flow is not None]

    async def _unblock_all(self) -> None:
        """Wake all blocked executions."""
        flows = tuple(await self._store.flows_with_work())
        if not flows:
            return
        now = self._clock.now()
        await self._store.commit([Unblock(flow_id, now) for flow_id in flows])
        for flow_id in flows:
            await self._queue.wake(flow_id, "")
