"""What commands ask of a server about requests that were rejected."""

from collections.abc import Mapping
from typing import Any, Protocol

from hookline.cli.access.local import Local, as_json, page_of
from hookline.cli.access.remote import Remote, flow_path
from hookline.service.admin.rejected import rejected_view


class RejectedAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def rejected(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]: ...


class LocalRejected(Local):
    """Without a server."""

    async def rejected(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        return as_json(rejected_view(await page_of(self._store.rejected(flow_id=flow_id, cursor=cursor, limit=limit))))


class RemoteRefused(Remote):
    """Through a running server's admin API."""

    async def rejected(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        path = "/rejected" if flow_id is None else f"{flow_path(flow_id)}/rejected"
        found: Mapping[str, Any] = await self._ask("GET", path, {"cursor": cursor, "limit": limit})
        return found
