"""The catalog of a database: the flows that the last deployments serve."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hookline.catalog.catalog import NO_VARIABLES, Catalog, CatalogChanges, CatalogEntry
from hookline.discovery.registry import Registry
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.model.deployments_and_drafts import ServedFlow
from hookline.storage.store import Store


@dataclass(frozen=True, slots=True)
class StoredReading:
    """The flows of a database as they were read, which aren't active yet."""

    served: Mapping[str, ServedFlow]
    entries: Mapping[str, CatalogEntry]


class StoredCatalog(Catalog):
    """The flows that a database serves."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        environment: Mapping[str, str] = NO_VARIABLES,
        unverified: Sequence[str] | None = None,
    ) -> None:
        super().__init__(registry, environment=environment, unverified=unverified)
        self._store = store
        self._served: Mapping[str, ServedFlow] = MappingProxyType({})

    async def read(self) -> StoredReading:
        """Read the flows that a deployment has changed. Raises StoreError."""
        served = {one.flow_id: one for one in await self._store.served_flows()}
        changed = [one for flow_id, one in served.items() if self._served.get(flow_id) != one]
        documents = await self._store.flow_documents([(one.flow_id, one.version) for one in changed])
        read = await asyncio.to_thread(lambda: {one.flow_id: self._read(one, documents) for one in changed})
        entries = {flow_id: read.get(flow_id) or self.entries[flow_id] for flow_id in served}
        return StoredReading(MappingProxyType(served), entries)

    def adopt(self, reading: StoredReading) -> CatalogChanges:
        """Activate what was read."""
        self._served = reading.served
        return self.adopt_entries(reading.entries)

    def _read(self, served: ServedFlow, documents: Mapping[str, bytes]) -> CatalogEntry:
        text = documents.get(served.flow_id)
        if text is None:
            problem = Problem(
                f"version {served.version} isn't stored any more", code="unreadable", remedy="deploy the flow again"
            )
            return CatalogEntry(served.flow_id, None, None, (problem,))
        try:
            # It serves: other nodes may have the actions that this one lacks.
            compiled = self.compile(read(text), without_actions=True)
        except FlowInvalid as error:
            return CatalogEntry(served.flow_id, None, None, tuple(error.problems))
        return CatalogEntry(served.flow_id, None, compiled.flow, compiled.problems)
