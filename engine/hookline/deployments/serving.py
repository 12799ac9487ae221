"""The switch of a running engine to the current versions and states of its flows."""

import asyncio
from typing import Any, Final

from hookline.catalog.catalog import Catalog, CatalogChanges
from hookline.catalog.current_flows import FlowStates, VersionResolver
from hookline.catalog.flow_folder import watch
from hookline.engine_options import EngineOptions
from hookline.executions.delivery.dispatcher import Dispatcher
from hookline.executions.delivery.runner import Runner
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import FlowNotFound, StoreError
from hookline.kernel.ongoing import OngoingProblem
from hookline.kernel.time import Clock
from hookline.model.flow import FlowState
from hookline.sources.supervisor import SourceSupervisor
from hookline.storage.changes import Change, Publish, Unblock
from hookline.storage.queue import Queue
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

BROKEN: Final = "flow is broken"
"""The log event of a problem in the file of a flow."""
#: The concurrency of a flow that no longer exists but has executions left.
_LEFT_BEHIND: Final = 16


class Serving:
    """Serve the flows according to their files and to the states that operators have set."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        catalog: Catalog,
        versions: VersionResolver,
        states: FlowStates,
        dispatcher: Dispatcher,
        runner: Runner,
        sources: SourceSupervisor,
        options: EngineOptions,
        clock: Clock,
        log: Any,
        store_problem: StoreProblem,
    ) -> None:
        self._store = store
        self._queue = queue
        self._catalog = catalog
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
        self._opening = asyncio.Lock()
        self._started = False

    async def load(self) -> None:
        """Read the flows' files and the states that operators decided. Raises StoreError."""
        self._report(self._catalog.refresh())
        await self._states.read()

    async def start(self) -> None:
        """Publish the flows, wake blocked executions and begin to deliver. Raises StoreError."""
        self._started = True
        await self._states.load(self._flows())
        await self._publish()
        await self._unblock_all()
        await self.open_lanes()

    async def refresh(self) -> None:
        """Read the files again and serve their versions. Raises StoreError and OSError; both may be tried again."""
        self._report(self._catalog.refresh())
        self._runner.causes_changed()
        if not self._started:
            await self._states.read()
            return
        await self._states.load(self._flows())
        await self._publish()
        await self.open_lanes()
        await self._unblock_all()

    async def set_state(self, flow_id: str, state: FlowState | None) -> None:
        """Set a flow's state: active, paused or stopped; None for the state in its file.

        Raises FlowNotFound if no version of the flow is served, and StoreError.
        """
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._catalog.missing(flow_id)
        if entry.flow is None:
            raise FlowNotFound(f"no version of flow {flow_id!r} serves")
        await self._states.decide(entry.flow, state)
        self._runner.causes_changed()
        await self.open_lanes()
        await self._unblock_all()

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
            # Paused and stopped flows start no executions; started executions continue.
            idle = {flow.id for flow in flows if self._states.of(flow) != "active"}
            lanes = {flow.id: (flow.settings.concurrency, flow.id in idle) for flow in flows}
            for flow_id in with_work:
                # These flows were deleted, or were invalid at the start. Their started executions continue with their
                # own version; their queued executions are blocked with the reason.
                lanes.setdefault(flow_id, (_LEFT_BEHIND, False))
            for flow_id in self._dispatcher.lanes() - lanes.keys():
                await self._dispatcher.close(flow_id)
            for flow_id, (concurrency, begun_only) in lanes.items():
                await self._dispatcher.open(flow_id, concurrency, begun_only=begun_only)
            if self._options.triggers:
                self._sources.adopt(
                    [flow for flow in flows if flow.id not in idle],
                    [flow for flow in flows if self._states.of(flow) == "paused"],
                    {flow_id for flow_id, entry in self._catalog.entries.items() if entry.flow is None},
                )

    def credential_changed(self, _name: str) -> None:
        """Wake the executions and sources that the credential blocked."""
        self._runner.causes_changed()
        self._sources.try_again()
        self._unblock.set()

    async def follow_files(self) -> None:
        """Refresh the flows after each change of their files."""
        async for _ in watch(self._options.flows):
            while True:
                try:
                    await self.refresh()
                except (StoreError, OSError) as error:
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

    def _report(self, changes: CatalogChanges) -> None:
        for entry in changes.broken:
            serving = entry.flow.version if entry.flow is not None else None
            for problem in entry.errors:
                self._log.error(BROKEN, flow_id=entry.id, problem=str(problem), still_serving=serving)

    def _flows(self) -> list[CompiledFlow]:
        return [entry.flow for entry in self._catalog.entries.values() if entry.flow is not None]

    async def _publish(self) -> None:
        """Publish the current versions, including those that could not be published earlier."""
        flows = [flow for flow in self._flows() if self._versions.published.get(flow.id) != flow.version]
        if flows:
            now = self._clock.now()
            changes: list[Change] = [Publish(flow.id, flow.version, flow.source, now) for flow in flows]
            await self._store.commit(changes)
            self._versions.published.update({flow.id: flow.version for flow in flows})

    async def _unblock_all(self) -> None:
        """Wake all blocked executions."""
        flows = tuple(await self._store.flows_with_work())
        if not flows:
            return
        now = self._clock.now()
        await self._store.commit([Unblock(flow_id, now) for flow_id in flows])
        for flow_id in flows:
            await self._queue.wake(flow_id, "")
