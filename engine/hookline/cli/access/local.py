"""What commands work on where no server runs: the database, and the folder of flows."""

import os
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hookline.catalog.catalog import Catalog
from hookline.cli.access.remote import ServerRejected
from hookline.cli.options import secret_keys
from hookline.config import Settings
from hookline.discovery.registry import Registry
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.json import decode, encode
from hookline.kernel.time import Clock
from hookline.secrets.vault import Vault
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

_T = TypeVar("_T")


class NoServer(HooklineError):
    """What was asked for takes a running server."""

    code = "server.missing"


class Local:
    """Without a server. Those that ask of one subject extend it."""

    def __init__(self, settings: Settings, registry: Registry, store: Store, clock: Clock) -> None:
        """Raises CredentialError where the keys can't be used."""
        self._settings = settings
        self._registry = registry
        self._store = store
        self._clock = clock
        self._keys = secret_keys(settings)
        self._vault = Vault(self._keys)
        self._catalog = Catalog(settings.flows, registry, environment=os.environ)

    def _open_blobs(self) -> Blobs:
        """What files are kept in; the caller closes it."""
        scheme = urlsplit(self._settings.blobs_url).scheme
        factory = self._registry.blob_stores.get(scheme)
        if factory is None:
            raise ConfigError(f"no plugin gives a blob store for {scheme}: URLs; `hookline plugins` shows which work")
        return factory(self._settings.blobs_url, clock=self._clock)


async def page_of(page: Awaitable[_T]) -> _T:
    """A page of a list. Raises ServerRejected, as a server would, for a cursor that isn't one."""
    try:
        return await page
    except ValueError as error:
        raise ServerRejected(f"the cursor is wrong: {error}", "request.malformed", ()) from None


def as_json(view: Any) -> Mapping[str, Any]:
    """A view as the JSON values that the admin API would give."""
    value: Mapping[str, Any] = decode(encode(view), exact=True)
    return value
