"""The catalog of a database: the flows that the last deployments serve."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hookline.catalog.catalog import NO_VARIABLES, Catalog, CatalogChanges, CatalogEntry
from hookline.discovery.registry import Registry
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.model.deployment import ServedFlow
from hookline.storage.store import Store


@dataclass(frozen=True, slots=True)
class StoredReading:
    """The flows of a database as they were read, which aren't active yet."""

    served: Mapping[str, ServedFlow]
    entries: Mapping[str, CatalogEntry]


class StoredCatalog(Catalog):
    """The flows that a database serves."""

    def __init__(self, store: Store, registry: Registry, *, environment: Mapping[str, str] = NO_VARIABLES) -> None:
        super().__init__(registry, environment=environment)
        self._store = store
        self._served: Mapping[str, ServedFlow] = MappingProxyType({})

    async def read(self) -> StoredReading:
        """Read the flows that a deployment has changed. Raises StoreError."""
        served = {one.flow_id: one for one in await self._store.served_flows()}
        entries: dict[str, CatalogEntry] = {}
        for flow_id, one in served.items():
            known = self.entries.get(flow_id) if self._served.get(flow_id) == one else None
            entries[flow_id] = known or await self._read(one)
        return StoredReading(MappingProxyType(served), entries)

    def adopt(self, reading: StoredReading) -> CatalogChanges:
        """Activate what was read."""
        self._served = reading.served
        return self.adopt_entries(reading.entries)

    async def _read(self, served: ServedFlow) -> CatalogEntry:
        text = await self._store.flow_document(served.flow_id, served.version)
        if text is None:
            problem = Problem(
                f"version {served.version} isn't stored any more", code="unreadable", remedy="deploy the flow again"
            )
            return CatalogEntry(served.flow_id, None, None, (problem,))
        return await asyncio.to_thread(self._compiled, served.flow_id, text)

    def _compiled(self, flow_id: str, text: bytes) -> CatalogEntry:
        try:
            compiled = self.compile(read(text))
        except FlowInvalid as error:
            return CatalogEntry(flow_id, None, None, tuple(error.problems))
        return CatalogEntry(flow_id, None, compiled.flow, compiled.problems)
