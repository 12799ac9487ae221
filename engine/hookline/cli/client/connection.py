"""The choice of the admin API that a command calls: that of a remote server, the running server, or this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hookline.cli.client.admin_client import Client
from hookline.cli.client.http import http_client
from hookline.cli.client.in_process import Missing, NoServer, in_process
from hookline.cli.client.remote_choice import remote_of
from hookline.cli.running_server_file import find
from hookline.kernel.errors import ConfigError
from hookline.server_settings import DATABASE, Settings


class NoDatabase(ConfigError):
    """There is no database where the settings say."""

    code = "database.missing"


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


def created_for(settings: Settings, flow_id: str) -> Missing:
    """Return that a database is created for a flow, if the flow is in the flows directory."""
    if settings.flows == DATABASE:
        return "rejected"
    return "created" if (settings.flows_dir / f"{flow_id}.json").is_file() else "rejected"


def check_exists(settings: Settings) -> None:
    """Raise NoDatabase if the settings name a SQLite database that doesn't exist."""
    file = settings.sqlite_file
    if file is not None and not file.exists():
        raise NoDatabase(_nowhere(file))


def is_new(settings: Settings) -> bool:
    """Return true if the database doesn't exist yet; that of a remote server always exists."""
    file = settings.sqlite_file
    return remote_of(settings) is None and file is not None and not file.exists()


def _nowhere(file: Path) -> str:
    """The message about a database that doesn't exist, with others that are near."""
    patterns = ("*/hookline.db", "*/.hookline/hookline.db")
    others = sorted({str(found) for pattern in patterns for found in Path().glob(pattern)})
    known = "".join(f"\n  --db sqlite:///{other}" for other in others[:5])
    return (
        f"there is no database {file} (in {Path.cwd()}), and nothing was created; run this in the directory of the "
        "server, or name its database with --db or HOOKLINE_DB, or its settings with `hookline --config FILE`"
        + (f"; there are these:{known}" if known else "")
    )
