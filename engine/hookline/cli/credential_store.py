"""The credentials of a database that is open only while they are read or written: others may use it in between."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import click

from hookline.config import Settings

if TYPE_CHECKING:
    from hookline.storage.backend import Backend, BackendFactory
    from hookline.storage.changes import Change, CommitResult
    from hookline.storage.store import StoredCredential


class CredentialStore:
    """As much of a store as credentials need that are used, and whose tokens are renewed."""

    def __init__(self, factory: "BackendFactory", url: str) -> None:
        self._factory = factory
        self._url = url

    async def credentials(self) -> "Sequence[StoredCredential]":
        """See `Store`."""
        async with self._opened() as backend:
            return await backend.store.credentials()

    async def commit(self, changes: "Sequence[Change]") -> "Sequence[CommitResult]":
        """See `Store`."""
        async with self._opened() as backend:
            return await backend.store.commit(changes)

    @contextlib.asynccontextmanager
    async def _opened(self) -> "AsyncIterator[Backend]":
        from hookline.kernel.time import SystemClock

        backend = self._factory(self._url, clock=SystemClock())
        await backend.open()
        try:
            yield backend
        finally:
            await backend.close()


def credential_store(settings: Settings) -> CredentialStore | None:
    """That of the settings' database; None where there is none yet, or a server has it."""
    from hookline.cli.server_file import find
    from hookline.discovery.loader import load_plugins

    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return None
    if find(settings) is not None:
        click.echo("hookline: a server holds the credentials, so that this run has none", err=True)
        return None
    factory = load_plugins().backends.get(settings.db.partition(":")[0])
    return None if factory is None else CredentialStore(factory, settings.db)
