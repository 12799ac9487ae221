"""What commands ask of a server about the states and versions of flows: through its admin API, or without one."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from hookline.catalog.flow_states import FlowStates
from hookline.cli.access.local import Local, as_json
from hookline.cli.access.remote import Remote, execution_path, flow_path
from hookline.deployments.version_history import VersionHistory
from hookline.kernel.errors import ConfigError, FlowNotFound, StoreError
from hookline.kernel.json import decode
from hookline.kernel.suggest import did_you_mean
from hookline.service.admin.deployments import DECISIONS, RolledBack, versions_view
from hookline.service.admin.flows import FlowView, flow_view
from hookline.service.views.pages import PageView


class FlowAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def flows(self) -> Mapping[str, Any]: ...

    async def flow(self, flow_id: str) -> Mapping[str, Any]:
        """Raises FlowNotFound."""
        ...

    async def decide(self, flow_id: str, decision: str) -> Mapping[str, Any]:
        """`pause`, `stop`, `resume` or `reset` a flow. Raises FlowNotFound."""
        ...

    async def flow_versions(self, flow_id: str) -> Mapping[str, Any]:
        """Raises FlowNotFound."""
        ...

    async def flow_document(self, flow_id: str, version: str) -> Mapping[str, Any]:
        """What a version says, by its first digits, or `current`. Raises FlowNotFound."""
        ...

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool) -> Mapping[str, Any]:
        """Write a version to the flow's file. Raises FlowNotFound and UnpublishedChanges."""
        ...

    async def plan(self, flow_id: str, document: bytes | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        """Where waiting executions would go on. Raises FlowNotFound, FlowInvalid, and ConfigError without a server."""
        ...

    async def move(self, execution_id: str, to: str) -> Mapping[str, Any]:
        """Bind a waiting execution to another version. Raises as `Moves.move`, and ConfigError without a server."""
        ...


class LocalFlows(Local):
    """Without a server: the folder's flows, and what the database keeps of them."""

    async def flows(self) -> Mapping[str, Any]:
        await self._load()
        shown = [self._view(flow_id) for flow_id in sorted(self._catalog.entries)]
        return as_json(PageView(shown, None))

    async def flow(self, flow_id: str) -> Mapping[str, Any]:
        await self._load()
        return as_json(self._view(flow_id))

    async def decide(self, flow_id: str, decision: str) -> Mapping[str, Any]:
        await self._load()
        entry = self._catalog.entries.get(flow_id)
        if entry is None or entry.flow is None:
            raise self._unknown(flow_id)
        await self._states.decide(entry.flow, DECISIONS[decision])
        return as_json(self._view(flow_id))

    async def flow_versions(self, flow_id: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        return as_json(versions_view(await self._versions.list(flow_id)))

    async def flow_document(self, flow_id: str, version: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        named = await self._versions.named(flow_id, version)
        document = await self._versions.document(flow_id, named)
        return {"flow_id": flow_id, "version": named, "document": decode(document, exact=True)}

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool) -> Mapping[str, Any]:
        self._catalog.refresh()
        try:
            done, file = await self._versions.roll_back(flow_id, version, force=force)
        except OSError as error:
            raise StoreError(f"the flow's file can't be written: {error}") from error
        return as_json(RolledBack(flow_id, done, str(file)))

    async def plan(self, flow_id: str, document: bytes | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        raise _no_server()

    async def move(self, execution_id: str, to: str) -> Mapping[str, Any]:
        raise _no_server()

    @cached_property
    def _states(self) -> FlowStates:
        return FlowStates(self._store, self._clock)

    @cached_property
    def _versions(self) -> VersionHistory:
        return VersionHistory(self._store, self._catalog, live=False)

    async def _load(self) -> None:
        self._catalog.refresh()
        await self._states.load(entry.flow for entry in self._catalog.entries.values() if entry.flow is not None)

    def _view(self, flow_id: str) -> FlowView:
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._unknown(flow_id)
        return flow_view(entry, self._settings.public_url or "", None, self._states)

    def _unknown(self, flow_id: str) -> FlowNotFound:
        near = did_you_mean(flow_id, self._catalog.entries)
        found = f" ({near})" if near else ""
        return FlowNotFound(f"there is no flow {flow_id!r} in {self._catalog.directory} that can serve{found}")


class RemoteFlows(Remote):
    """Through a running server's admin API."""

    async def flows(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", "/flows")
        return found

    async def flow(self, flow_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", flow_path(flow_id))
        return found

    async def decide(self, flow_id: str, decision: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("POST", f"{flow_path(flow_id)}/{decision}")
        return found

    async def flow_versions(self, flow_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{flow_path(flow_id)}/versions")
        return found

    async def flow_document(self, flow_id: str, version: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{flow_path(flow_id)}/versions/{quote(version, safe='')}")
        return found

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool) -> Mapping[str, Any]:
        done: Mapping[str, Any] = await self._ask(
            "POST", f"{flow_path(flow_id)}/rollback", body={"version": version, "force": force}
        )
        return done

    async def plan(self, flow_id: str, document: bytes | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        given = {} if document is None else {"document": msgspec.Raw(document)}
        page = {"cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("POST", f"{flow_path(flow_id)}/plan", page, given)
        return found

    async def move(self, execution_id: str, to: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("POST", f"{execution_path(execution_id)}/move", body={"to": to})
        return found


def _no_server() -> ConfigError:
    return ConfigError("no server runs over this database, and only one can do this: start it with `hookline serve`")
