"""The choice of the admin API that a command calls: that of a remote server, the running server, or this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hookline.cli.client.admin_client import Client
from hookline.cli.client.http import http_client
from hookline.cli.client.in_process import Missing, NoServer, in_process
from hookline.cli.client.missing_database import check_exists
from hookline.cli.client.remote_choice import remote_of
from hookline.cli.running_server_file import find
from hookline.server_settings import Settings


@contextlib.asynccontextmanager
async def connect(
    settings: Settings, *, missing: Missing = "rejected", server_only: str | None = None
) -> AsyncIterator[Client]:
    """Connect to the remote server that the command is for, if there is one; otherwise to the running server of the
    settings' database, or else open the database in this process.

    `missing`: what becomes of a SQLite database that doesn't exist. `server_only`: the message of NoServer if no server
    runs. Raises ConfigError and StoreError.
    """
    remote = remote_of(settings)
    if remote is not None:
        async with http_client(remote.url, remote.token, proxies=True) as client:
            yield client
        return
    running = find(settings)
    if running is not None:
        async with http_client(running[0].url, running[1]) as client:
            yield client
        return
    if server_only is not None:
        raise NoServer(server_only)
    if missing == "rejected":
        check_exists(settings)
    async with in_process(settings, missing) as transport:
        yield Client(transport)


def call(
    settings: Settings,
    method: str,
    *path: str,
    body: Any = None,
    missing: Missing = "rejected",
    server_only: str | None = None,
    if_match: str | None = None,
    **query: object,
) -> Any:
    """Send one request: see `connect` and `Client`."""

    async def run() -> Any:
        async with connect(settings, missing=missing, server_only=server_only) as client:
            return await client.request(method, *path, body=body, if_match=if_match, **query)

    return asyncio.run(run())
