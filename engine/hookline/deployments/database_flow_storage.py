"""Flows in the database: a deployment writes nothing besides its commit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hookline.catalog.catalog import CatalogChanges
from hookline.catalog.stored_catalog import StoredCatalog, StoredReading
from hookline.deployments.flow_storage import NewTexts
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.storage.change_declarations import Change, SetCases
from hookline.storage.store import Store


class DatabaseFlowStorage:
    """The flows of a database."""

    problem = None

    def __init__(self, catalog: StoredCatalog, store: Store) -> None:
        self.catalog = catalog
        self._store = store

    async def recover(self) -> None:
        """Do nothing: a commit leaves nothing to do."""

    async def read(self) -> StoredReading:
        """Read the flows that are served."""
        return await self.catalog.read()

    async def read_deployed(self, flows: Mapping[str, CompiledFlow | None]) -> StoredReading:
        """Read the flows that are served; those of the deployment are committed already."""
        return await self.catalog.read()

    async def settled(self) -> None:
        """Do nothing: a commit is whole."""

    def adopt(self, reading: StoredReading) -> CatalogChanges:
        """Activate all that was read, at once."""
        return self.catalog.adopt(reading)

    async def stage(self, texts: NewTexts, at: datetime, *, force: bool) -> "StagedRows":
        """Prepare the changes of the cases. Documents are published with the deployment."""
        # The cases of a deleted flow stay for a rollback. A new flow has none of an earlier one with its id.
        new = {
            flow_id: None
            for flow_id, document in texts.documents.items()
            if document is not None and flow_id not in self.catalog.entries
        }
        cases: Mapping[str, bytes | None] = {**new, **texts.cases}
        return StagedRows([SetCases(flow_id, text, at) for flow_id, text in cases.items()])

    async def document(self, flow_id: str) -> Mapping[str, Any] | None:
        """The document of the version that is served."""
        entry = self.catalog.entries.get(flow_id)
        if entry is None or entry.flow is None:
            return None
        document: Mapping[str, Any] = read(entry.flow.source).value
        return document

    async def cases(self, flow_id: str) -> bytes | None:
        """The text of a flow's cases."""
        return await self._store.flow_cases(flow_id) if flow_id in self.catalog.entries else None

    async def changes(self) -> AsyncIterator[None]:
        """Yield nothing: this server makes all changes itself."""
        changes: tuple[None, ...] = ()
        for change in changes:
            yield change


@dataclass(frozen=True, slots=True)
class StagedRows:
    """The changes that keep cases."""

    changes: Sequence[Change]

    async def finish(self) -> None:
        """Do nothing: the commit has kept them."""

    async def discard(self) -> None:
        """Do nothing: the commit has kept none."""
