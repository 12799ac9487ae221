"""The interface of the flow storage, where flows are kept and their changes are written: a folder, or the database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from hookline.catalog.catalog import Catalog, CatalogChanges, CatalogEntry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.storage.change_declarations import Change


@dataclass(frozen=True, slots=True)
class NewTexts:
    """The documents and the cases that are to be kept; None deletes one."""

    documents: Mapping[str, Mapping[str, Any] | None]
    """By flow id."""
    cases: Mapping[str, bytes | None]


class FlowReading(Protocol):
    """The flows as they were read, which aren't active yet."""

    @property
    def entries(self) -> Mapping[str, CatalogEntry]: ...


class StagedTexts(Protocol):
    """New texts that are prepared, and take effect with the commit of their changes."""

    @property
    def changes(self) -> Sequence[Change]: ...

    async def finish(self) -> None:
        """Do what is left to do after the commit. Raises OSError and StoreError; then `recover` does it later."""
        ...

    async def discard(self) -> None:
        """Forget the texts, since the commit failed."""
        ...


class FlowStorage(Protocol):
    """Keeps the documents and the cases of flows."""

    @property
    def catalog(self) -> Catalog: ...

    @property
    def problem(self) -> str | None:
        """The reason why there are no flows, if the storage itself doesn't exist."""
        ...

    async def recover(self) -> None:
        """Finish deployments that were committed and not finished. Raises OSError and StoreError."""
        ...

    async def read(self) -> FlowReading | None:
        """Read the flows without activating them; return None if others are changing them just now. Raises OSError and
        StoreError."""
        ...

    async def read_deployed(self, flows: Mapping[str, CompiledFlow | None]) -> FlowReading:
        """Read the flows of a deployment that was committed, or of the last one; None is a flow that it deletes.

        The versions that are given are the active ones, whatever others have changed since. Raises OSError and
        StoreError.
        """
        ...

    async def settled(self) -> None:
        """Return once nobody is changing the flows."""
        ...

    def adopt(self, reading: Any) -> CatalogChanges:
        """Activate all that was read, at once."""
        ...

    async def stage(self, texts: NewTexts, at: datetime, *, force: bool) -> StagedTexts:
        """Prepare texts. Raises FolderReadOnly, FolderBusy, and StoreError if there is no room for them.

        Raises UnpublishedChanges if a text would replace another that was never published, unless `force` is set.
        """
        ...

    async def document(self, flow_id: str) -> Mapping[str, Any] | None:
        """Return the document of a flow as it is kept now; None if there is none that can be read."""
        ...

    async def cases(self, flow_id: str) -> bytes | None:
        """Return the cases of a flow. Raises StoreError."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yield after each change by others, once it is complete."""
        ...
