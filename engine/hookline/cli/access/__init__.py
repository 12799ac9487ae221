"""How commands reach what a server holds: through its admin API where one runs, and otherwise directly.

A SQLite file has one writing process (the server), and so has for now a PostgreSQL database. Each module here has one
subject: what is asked about it, and both ways to the answer.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

import aiohttp

from hookline.cli.access.components import ComponentAccess, LocalComponents, RemoteComponents
from hookline.cli.access.credentials import CredentialAccess, RemoteCredentials
from hookline.cli.access.executions import ExecutionAccess, LocalExecutions, RemoteExecutions
from hookline.cli.access.flow_values import FlowValuesAccess, LocalFlowValues, RemoteFlowValues
from hookline.cli.access.flows import FlowAccess, LocalFlows, RemoteFlows
from hookline.cli.access.rejected import LocalRejected, RejectedAccess, RemoteRefused
from hookline.cli.access.repairs import LocalRepairs, RemoteRepairs, RepairAccess
from hookline.cli.access.storage import LocalStorage, RemoteStorage, StorageAccess
from hookline.cli.server_file import find
from hookline.config import Settings
from hookline.discovery.loader import load_plugins
from hookline.kernel.errors import ConfigError
from hookline.kernel.time import SystemClock


class Access(
    ExecutionAccess,
    RepairAccess,
    FlowAccess,
    FlowValuesAccess,
    CredentialAccess,
    ComponentAccess,
    RejectedAccess,
    StorageAccess,
    Protocol,
):
    """What a server holds. Values are JSON, shaped as the admin API shapes them."""


class _LocalAccess(
    LocalExecutions, LocalRepairs, LocalFlows, LocalFlowValues, LocalComponents, LocalRejected, LocalStorage
):
    """Without a server."""


class _RemoteAccess(
    RemoteExecutions,
    RemoteRepairs,
    RemoteFlows,
    RemoteFlowValues,
    RemoteCredentials,
    RemoteComponents,
    RemoteRefused,
    RemoteStorage,
):
    """Through a running server's admin API."""


@contextlib.asynccontextmanager
async def access(settings: Settings) -> AsyncIterator[Access]:
    """What the settings' server holds. Raises StoreError and ConfigError where it can't be reached."""
    running = find(settings)
    if running is not None:
        server, token = running
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            yield _RemoteAccess(session, server.url)
        return
    clock = SystemClock()
    registry = load_plugins()
    scheme = settings.db.partition(":")[0]
    factory = registry.backends.get(scheme)
    if factory is None:
        raise ConfigError(f"no plugin gives a database for {scheme}: URLs; `hookline plugins` shows which work")
    backend = factory(settings.db, clock=clock)
    await backend.open()
    try:
        yield _LocalAccess(settings, registry, backend.store, clock)
    finally:
        await backend.close()
