"""The compiled flows for executions: the current version of each flow, and older versions that are still in use."""

from datetime import datetime

from hookline.catalog.catalog import Catalog
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import FlowInvalid, FlowNotFound
from hookline.storage.changes import Publish
from hookline.storage.store import Store


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
