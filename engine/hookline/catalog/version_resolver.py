"""The compiled flows that executions run on: the current version of each, and the older ones they are bound to."""

from datetime import datetime

from hookline.catalog.catalog import Catalog
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import FlowInvalid, FlowNotFound
from hookline.storage.changes import Publish
from hookline.storage.store import Store


class VersionResolver:
    """Finds flows in the catalog, and versions that the catalog has no more in the store."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog = catalog
        self._store = store
        self.published: dict[str, str] = {}
        """The version of each flow that serves, as far as the store keeps it."""

    def current(self, flow_id: str) -> CompiledFlow:
        """The version that new executions run on. Raises FlowNotFound, and FlowInvalid where it can't run."""
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._catalog.missing(flow_id)
        if entry.flow is None:
            raise FlowInvalid(entry.errors)
        return entry.flow

    def publish_changes(self, flow: CompiledFlow, at: datetime) -> tuple[Publish, ...]:
        """What is committed with the start of an execution on a version that serves, and may not be kept yet."""
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
            raise FlowNotFound(f"version {version} of flow {flow_id!r} is not kept")
        return self._catalog.compile_published(document)
