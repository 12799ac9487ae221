"""What commands ask of a server about requests that were refused."""

from collections.abc import Mapping
from typing import Any, Protocol

from hookline.cli.access.local import Local, as_json, page_of
from hookline.cli.access.remote import Remote, flow_path
from hookline.service.views.rejected import refused_view


class RefusedAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]: ...


class LocalRefused(Local):
    """Without a server."""

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        return as_json(refused_view(await page_of(self._store.refused(flow_id=flow_id, cursor=cursor, limit=limit))))


class RemoteRefused(Remote):
    """Through a running server's admin API."""

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        path = "/refused" if flow_id is None else f"{flow_path(flow_id)}/refused"
        found: Mapping[str, Any] = await self._ask("GET", path, {"cursor": cursor, "limit": limit})
        return found
