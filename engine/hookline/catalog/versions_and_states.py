"""The current flows: the version that executions get, and the state of each flow (active, paused or stopped)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from hookline.access.audit import AuditedOperation, audited
from hookline.catalog.catalog import Catalog
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import FlowInvalid, FlowNotFound
from hookline.model.access import SYSTEM, Actor
from hookline.model.flow import ServingState
from hookline.storage.change_declarations import Change, OverrideState, Publish
from hookline.storage.store import StateOverride, Store

_OPERATIONS: Final[Mapping[ServingState | None, AuditedOperation]] = {
    "active": "flow.resume",
    "paused": "flow.pause",
    "stopped": "flow.stop",
    None: "flow.reset",
}


class VersionResolver:
    """Find current versions in the catalog, and older ones in the catalog or the store."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog = catalog
        self._store = store
        self.published: dict[str, str] = {}
        """The current version of each flow, as far as it is stored."""

    def current(self, flow_id: str) -> CompiledFlow:
        """The version for new executions. Raises FlowNotFound, and FlowInvalid if it can't run."""
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._catalog.missing(flow_id)
        if entry.flow is None:
            raise FlowInvalid(entry.errors)
        return entry.flow

    def publish_changes(self, flow: CompiledFlow, at: datetime) -> tuple[Publish, ...]:
        """The changes that publish a version, if it isn't stored yet, together with the start of an execution on it."""
        if self.published.get(flow.id) == flow.version:
            return ()
        return (Publish(flow.id, flow.version, flow.source, at),)

    async def version(self, flow_id: str, version: str) -> CompiledFlow:
        """A version that executions are bound to. Raises FlowNotFound, FlowInvalid and StoreError."""
        known = self._catalog.version(flow_id, version)
        if known is not None:
            return known
        document = await self._store.flow_document(flow_id, version)
        if document is None:
            raise FlowNotFound(f"version {version} of flow {flow_id!r} is not stored")
        return self._catalog.compile_published(document)


def state_in_file(flow: CompiledFlow) -> ServingState:
    """The state in a flow's own document."""
    return flow.settings.state


class FlowStates:
    """The states of flows, with the overrides by operators.

    An override holds until the next one, or until the state in the file changes.
    """

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self.store = store
        self._clock = clock
        self._new_id = new_id
        self._overrides: Mapping[str, StateOverride] = MappingProxyType({})

    def of(self, flow: CompiledFlow) -> ServingState:
        """The state of a flow."""
        override = self.override(flow)
        return state_in_file(flow) if override is None else override.state

    def override(self, flow: CompiledFlow) -> StateOverride | None:
        """The operator's override for a flow, if it still holds."""
        override = self._overrides.get(flow.id)
        return override if override is not None and override.file_state == state_in_file(flow) else None

    async def read(self) -> None:
        """Read the decisions. Raises StoreError."""
        self._overrides = dict(await self.store.state_overrides())

    async def load(self, flows: Iterable[CompiledFlow]) -> None:
        """Load the overrides, and delete those that no longer hold for these flows. Raises StoreError."""
        await self.read()
        now = self._clock.now()
        over = [flow for flow in flows if flow.id in self._overrides and self.override(flow) is None]
        if over:
            changes: list[Change] = []
            for flow in over:
                why = f"its file says {state_in_file(flow)} now"
                about = {"flow_id": flow.id, "flow_version": flow.version, "detail": why}
                changes.append(OverrideState(flow.id, None, state_in_file(flow), now))
                changes.append(audited(self._new_id(), now, SYSTEM, "flow.reset", **about))
            await self.store.commit(changes)
            self._overrides = {key: each for key, each in self._overrides.items() if key not in {f.id for f in over}}

    async def decide(self, flow: CompiledFlow, state: ServingState | None, *, by: Actor) -> None:
        """Override the state of a flow; None removes the override. Raises StoreError."""
        said, now = state_in_file(flow), self._clock.now()
        decided = None if state in (None, said) else state
        record = audited(self._new_id(), now, by, _OPERATIONS[state], flow_id=flow.id, flow_version=flow.version)
        await self.store.commit([OverrideState(flow.id, decided, said, now), record])
        others = {flow_id: each for flow_id, each in self._overrides.items() if flow_id != flow.id}
        self._overrides = others if decided is None else {**others, flow.id: StateOverride(decided, said, now)}
