"""What commands ask of a server about what flows keep: through its admin API, or without one."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from hookline.cli.access.local import Local, as_json
from hookline.cli.access.remote import Remote, flow_path
from hookline.kernel.errors import FlowNotFound, Malformed
from hookline.service.admin.flow_state import kept_view, one_kept, setting
from hookline.storage.changes import SetState


class FlowValuesAccess(Protocol):
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


class LocalFlowValues(Local):
    """Without a server."""

    async def kept(self, flow_id: str, cursor: str | None, limit: int) -> Mapping[str, Any]:
        try:
            return as_json(await kept_view(self._store, flow_id, cursor, limit))
        except ValueError as error:
            raise Malformed(f"The cursor is wrong: {error}.") from None

    async def one_kept(self, flow_id: str, key: str) -> Mapping[str, Any]:
        return as_json(await one_kept(self._store, flow_id, key))

    async def set_kept(self, flow_id: str, key: str, value: bytes) -> None:
        self._catalog.refresh()
        if flow_id not in self._catalog.entries:
            raise FlowNotFound(f"there is no flow {flow_id!r} in {self._catalog.directory}")
        await self._store.commit([setting(flow_id, key, value, self._clock.now())])

    async def drop_kept(self, flow_id: str, key: str) -> None:
        await one_kept(self._store, flow_id, key)
        await self._store.commit([SetState(flow_id, key, None, self._clock.now())])


class RemoteFlowValues(Remote):
    """Through a running server's admin API."""

    async def kept(self, flow_id: str, cursor: str | None, limit: int) -> Mapping[str, Any]:
        page = {"cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", f"{flow_path(flow_id)}/state", page)
        return found

    async def one_kept(self, flow_id: str, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", _at(flow_id), {"key": key})
        return found

    async def set_kept(self, flow_id: str, key: str, value: bytes) -> None:
        await self._ask("PUT", _at(flow_id), {"key": key}, body=msgspec.Raw(value))

    async def drop_kept(self, flow_id: str, key: str) -> None:
        await self._ask("DELETE", _at(flow_id), {"key": key})


def _at(flow_id: str) -> str:
    return f"{flow_path(flow_id)}/state/value"
