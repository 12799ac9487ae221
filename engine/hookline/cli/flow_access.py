"""What commands ask of a server about the states and versions of flows: through its admin API, or without one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from hookline.errors import ConfigError, FlowNotFound, StoreError
from hookline.flows.catalog import Catalog
from hookline.jsontypes import decode, encode
from hookline.nearest import did_you_mean
from hookline.runtime.flow_states import FlowStates
from hookline.runtime.kept_versions import KeptVersions
from hookline.service import views
from hookline.service.deploy_views import RolledBack, versions_view
from hookline.service.deploys import DECISIONS


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


class DirectFlows:
    """Without a server: the folder's flows, and what the database keeps of them."""

    def __init__(self, catalog: Catalog, states: FlowStates, public_url: str) -> None:
        self._catalog = catalog
        self._states = states
        self._public_url = public_url
        self._kept = KeptVersions(states.store, catalog, live=False)

    async def flows(self) -> Mapping[str, Any]:
        await self._load()
        shown = [self._view(flow_id) for flow_id in sorted(self._catalog.entries)]
        return _json(views.PageView(shown, None))

    async def flow(self, flow_id: str) -> Mapping[str, Any]:
        await self._load()
        return _json(self._view(flow_id))

    async def decide(self, flow_id: str, decision: str) -> Mapping[str, Any]:
        await self._load()
        entry = self._catalog.entries.get(flow_id)
        if entry is None or entry.flow is None:
            raise self._unknown(flow_id)
        await self._states.decide(entry.flow, DECISIONS[decision])
        return _json(self._view(flow_id))

    async def flow_versions(self, flow_id: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        return _json(versions_view(await self._kept.list(flow_id)))

    async def flow_document(self, flow_id: str, version: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        named = await self._kept.named(flow_id, version)
        document = await self._kept.document(flow_id, named)
        return {"flow_id": flow_id, "version": named, "document": decode(document, exact=True)}

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool) -> Mapping[str, Any]:
        self._catalog.refresh()
        try:
            done, file = await self._kept.roll_back(flow_id, version, force=force)
        except OSError as error:
            raise StoreError(f"the flow's file can't be written: {error}") from error
        return _json(RolledBack(flow_id, done, str(file)))

    async def plan(self, flow_id: str, document: bytes | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        raise _no_server()

    async def move(self, execution_id: str, to: str) -> Mapping[str, Any]:
        raise _no_server()

    async def _load(self) -> None:
        self._catalog.refresh()
        await self._states.load(entry.flow for entry in self._catalog.entries.values() if entry.flow is not None)

    def _view(self, flow_id: str) -> views.FlowView:
        entry = self._catalog.entries.get(flow_id)
        if entry is None:
            raise self._unknown(flow_id)
        return views.flow_view(entry, self._public_url, None, self._states)

    def _unknown(self, flow_id: str) -> FlowNotFound:
        near = did_you_mean(flow_id, self._catalog.entries)
        found = f" ({near})" if near else ""
        return FlowNotFound(f"there is no flow {flow_id!r} in {self._catalog.directory} that can serve{found}")


class RemoteFlows(ABC):
    """Through a running server's admin API."""

    @abstractmethod
    async def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """What the API answers to a request."""

    async def flows(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", "/flows")
        return found

    async def flow(self, flow_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", _of(flow_id))
        return found

    async def decide(self, flow_id: str, decision: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("POST", f"{_of(flow_id)}/{decision}")
        return found

    async def flow_versions(self, flow_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{_of(flow_id)}/versions")
        return found

    async def flow_document(self, flow_id: str, version: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{_of(flow_id)}/versions/{quote(version, safe='')}")
        return found

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool) -> Mapping[str, Any]:
        done: Mapping[str, Any] = await self._ask(
            "POST", f"{_of(flow_id)}/rollback", body={"version": version, "force": force}
        )
        return done

    async def plan(self, flow_id: str, document: bytes | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        given = {} if document is None else {"document": msgspec.Raw(document)}
        page = {"cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("POST", f"{_of(flow_id)}/plan", page, given)
        return found

    async def move(self, execution_id: str, to: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask(
            "POST", f"/executions/{quote(execution_id, safe='')}/move", body={"to": to}
        )
        return found


def _of(flow_id: str) -> str:
    return f"/flows/{quote(flow_id, safe='')}"


def _no_server() -> ConfigError:
    return ConfigError("no server runs over this database, and only one can do this: start it with `hookline serve`")


def _json(view: Any) -> Mapping[str, Any]:
    """A view as the JSON values that the admin API would give."""
    value: Mapping[str, Any] = decode(encode(view), exact=True)
    return value
