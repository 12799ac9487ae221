"""The version history of flows: list versions, and read their documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hookline.catalog.catalog import Catalog
from hookline.kernel.errors import FlowNotFound
from hookline.model.execution import State
from hookline.storage.store import FlowVersion, Store

CURRENT: Final = "current"
"""The name for the version that new executions get."""
_SHORTEST: Final = 4


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version in the store, and the executions that are bound to it."""

    version: str
    created_at: datetime
    served_at: datetime
    serves: bool
    """True if new executions get this version."""
    executions: Mapping[State, int]
    """The number of unended executions that are bound to it, by state."""


class VersionHistory:
    """Read the versions of flows from the store."""

    def __init__(self, store: Store, catalog: Catalog, *, live: bool = True) -> None:
        """`live`: the catalog's versions are current. If no server runs, the version that was published last is
        current."""
        self._store = store
        self._catalog = catalog
        self.live = live

    async def list(self, flow_id: str) -> Sequence[VersionInfo]:
        """The versions of a flow; the version that was published last comes first.

        Raises FlowNotFound if there never was such a flow, and StoreError.
        """
        found = await self._found(flow_id)
        counts = await self._store.executions_by_version(flow_id)
        serves = self._serving(flow_id, found)
        return [
            VersionInfo(
                one.version,
                one.created_at,
                one.served_at,
                one.version == serves,
                {state: count for (version, state), count in counts.items() if version == one.version},
            )
            for one in found
        ]

    async def resolve(self, flow_id: str, name: str) -> str:
        """The version with these first digits, at least 4, or the `current` version.

        Raises FlowNotFound if no version or several versions match, and StoreError.
        """
        found = await self._found(flow_id)
        if name == CURRENT:
            serves = self._serving(flow_id, found)
            if serves is None:
                raise FlowNotFound(f"no version of flow {flow_id!r} serves")
            return serves
        known = [one.version for one in found]
        meant = [
            version for version in known if version == name or (len(name) >= _SHORTEST and version.startswith(name))
        ]
        if len(meant) != 1:
            which = "several versions" if meant else "no stored version"
            raise FlowNotFound(
                f"{name!r} is {which} of flow {flow_id!r}: `hookline flows versions {flow_id}` lists them"
            )
        return meant[0]

    async def document(self, flow_id: str, version: str) -> bytes:
        """The document of a version, as JSON. Raises FlowNotFound and StoreError."""
        document = await self._store.flow_document(flow_id, version)
        if document is None:
            raise FlowNotFound(f"version {version} of flow {flow_id!r} is not stored")
        return document

    async def target(self, flow_id: str, name: str | None) -> str:
        """The version that a rollback means, by default the version before the current one.

        Raises FlowNotFound and StoreError.
        """
        return await self._before(flow_id) if name is None else await self.resolve(flow_id, name)

    async def _before(self, flow_id: str) -> str:
        """The version that was current before the current one."""
        found = await self._found(flow_id)
        serves = self._serving(flow_id, found)
        others = [one.version for one in found if one.version != serves]
        if not others:
            raise FlowNotFound(f"there is no version of flow {flow_id!r} before the one that serves")
        return others[0]

    async def _found(self, flow_id: str) -> Sequence[FlowVersion]:
        found = await self._store.flow_versions(flow_id)
        if not found and flow_id not in self._catalog.entries:
            raise FlowNotFound(f"there is no flow {flow_id!r}")
        return found

    def _serving(self, flow_id: str, found: Sequence[FlowVersion]) -> str | None:
        if not self.live:
            return found[0].version if found else None
        entry = self._catalog.entries.get(flow_id)
        return None if entry is None or entry.flow is None else entry.flow.version
