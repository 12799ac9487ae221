"""Many nodes on PostgreSQL through pgbouncer, which gives each transaction any of its sessions."""

import asyncio
import os
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import make_url
from tests.ports import free_port
from tests.services import need_program, need_server

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.cluster import ClusterContract
from hookline_sqlstore.backend import postgresql

POSTGRES = make_url(os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test"))

pytestmark = pytest.mark.postgres

_SETTINGS = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
"""


def _text(database: str) -> str:
    return POSTGRES.set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def pooler() -> Iterator[int]:
    """A pgbouncer that pools transactions; its port."""
    program = need_program("pgbouncer", "pgbouncer")
    need_server("PostgreSQL", POSTGRES.port or 5432, POSTGRES.host or "127.0.0.1")
    server = {
        "host": POSTGRES.host,
        "port": POSTGRES.port or 5432,
        "user": POSTGRES.username,
        "password": POSTGRES.password,
    }
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "pgbouncer.ini"
        said = " ".join(f"{name}={value}" for name, value in server.items() if value is not None)
        settings.write_text(_SETTINGS.format(server=said, port=port), encoding="utf-8")
        # It refuses to run as root.
        user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        for path in (Path(folder), settings):
            path.chmod(0o755)
        process = subprocess.Popen([*user, program, str(settings)], stderr=subprocess.DEVNULL, cwd="/")
        try:
            asyncio.run(_answers(port))
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


async def _answers(port: int) -> None:
    url = POSTGRES.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    async with asyncio.timeout(30):
        while True:
            try:
                await (await asyncpg.connect(url, timeout=5)).close()
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
            else:
                return


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(pooler: int) -> AsyncIterator[str]:
    """A database for one test."""
    name = f"hookline_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(_text(POSTGRES.database or "test"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        yield name
        # The sessions of the pooler are still open.
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(params=["direct", "pooled"])
def listens_at(request: pytest.FixtureRequest, database: str) -> str | None:
    """The direct URL for the session that listens; or None, so that wake-ups of other nodes aren't heard."""
    return _text(database) if request.param == "direct" else None


@pytest.fixture
async def join(
    pooler: int, database: str, listens_at: str | None, clock: ManualClock
) -> AsyncIterator[Callable[[], Awaitable[Backend]]]:
    url = POSTGRES.set(host="127.0.0.1", port=pooler, database=database).render_as_string(hide_password=False)
    opened: list[Backend] = []

    async def joined() -> Backend:
        backend = postgresql(url, clock=clock)
        await backend.open(NodeDescription(f"node-{len(opened) + 1}", listen_url=listens_at))
        opened.append(backend)
        return backend

    yield joined
    for backend in opened:
        await backend.close()


@pytest.fixture
def silence(database: str) -> Callable[[Backend], Awaitable[None]]:
    async def silenced(backend: Backend) -> None:
        connection = await asyncpg.connect(_text(database))
        try:
            name = backend.membership.node.name
            await connection.execute("UPDATE nodes SET until = 0, gone_at = 1 WHERE name = $1", name)
        finally:
            await connection.close()

    return silenced


class TestPooledNodes(ClusterContract):
    pass
