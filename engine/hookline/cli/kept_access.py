"""What commands ask of a server about what flows keep: through its admin API, or without one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from hookline.clock import Clock
from hookline.errors import FlowNotFound, Malformed
from hookline.flows.catalog import Catalog
from hookline.jsontypes import decode, encode
from hookline.ports import SetState, Store
from hookline.service.kept import kept_view, one_kept, setting


class KeptAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def kept(self, flow_id: str, cursor: str | None, limit: int) -> Mapping[str, Any]: ...

    async def one_kept(self, flow_id: str, key: str) -> Mapping[str, Any]:
        """Raises NothingKept."""
        ...

    async def set_kept(self, flow_id: str, key: str, value: bytes) -> None:
        """`value` is JSON. Raises FlowNotFound and Malformed."""
        ...

    async def drop_kept(self, flow_id: str, key: str) -> None:
        """Raises NothingKept."""
        ...


class DirectKept:
    """Without a server."""

    def __init__(self, store: Store, clock: Clock, catalog: Catalog) -> None:
        self._of_store = store
        self._time = clock
        self._folder = catalog

    async def kept(self, flow_id: str, cursor: str | None, limit: int) -> Mapping[str, Any]:
        try:
            return _json(await kept_view(self._of_store, flow_id, cursor, limit))
        except ValueError as error:
            raise Malformed(f"The cursor is wrong: {error}.") from None

    async def one_kept(self, flow_id: str, key: str) -> Mapping[str, Any]:
        return _json(await one_kept(self._of_store, flow_id, key))

    async def set_kept(self, flow_id: str, key: str, value: bytes) -> None:
        self._folder.refresh()
        if flow_id not in self._folder.entries:
            raise FlowNotFound(f"there is no flow {flow_id!r} in {self._folder.directory}")
        await self._of_store.commit([setting(flow_id, key, value, self._time.now())])

    async def drop_kept(self, flow_id: str, key: str) -> None:
        await one_kept(self._of_store, flow_id, key)
        await self._of_store.commit([SetState(flow_id, key, None, self._time.now())])


class RemoteKept(ABC):
    """Through a running server's admin API."""

    @abstractmethod
    async def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """What the API answers to a request."""

    async def kept(self, flow_id: str, cursor: str | None, limit: int) -> Mapping[str, Any]:
        page = {"cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", f"/flows/{quote(flow_id, safe='')}/state", page)
        return found

    async def one_kept(self, flow_id: str, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", _at(flow_id), {"key": key})
        return found

    async def set_kept(self, flow_id: str, key: str, value: bytes) -> None:
        await self._ask("PUT", _at(flow_id), {"key": key}, body=msgspec.Raw(value))

    async def drop_kept(self, flow_id: str, key: str) -> None:
        await self._ask("DELETE", _at(flow_id), {"key": key})


def _at(flow_id: str) -> str:
    return f"/flows/{quote(flow_id, safe='')}/state/value"


def _json(view: Any) -> Mapping[str, Any]:
    """A view as the JSON values that the admin API would give."""
    value: Mapping[str, Any] = decode(encode(view), exact=True)
    return value
