"""What commands ask of a server about the room that everything takes."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from hookline.cli.access.local import Local, as_json
from hookline.cli.access.remote import Remote
from hookline.maintenance.retention import retention_in
from hookline.service.admin.storage import storage_view


class StorageAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def storage(self) -> Mapping[str, Any]:
        """How much room everything takes, and what goes when."""
        ...


class LocalStorage(Local):
    """Without a server."""

    async def storage(self) -> Mapping[str, Any]:
        blobs, budget = self._open_blobs(), int(self._settings.disk_budget)
        self._catalog.refresh()
        kept = partial(retention_in, self._catalog, self._settings.retention)
        try:
            return as_json(await storage_view(self._store, blobs, kept, self._clock.now(), budget=budget, full=None))
        finally:
            await blobs.close()


class RemoteStorage(Remote):
    """Through a running server's admin API."""

    async def storage(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", "/storage")
        return found
