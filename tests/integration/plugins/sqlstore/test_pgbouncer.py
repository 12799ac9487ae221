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
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend import postgresql

POSTGRES = make_url(os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test"))

pytestmark = [pytest.mark.postgres, pytest.mark.long]

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


Join = Callable[[], Awaitable[Backend]]


async def _joining(url: str, listen_url: str | None, clock: ManualClock) -> AsyncIterator[Join]:
    opened: list[Backend] = []

    async def joined() -> Backend:
        backend = postgresql(url, clock=clock)
        await backend.open(NodeDescription(f"node-{len(opened) + 1}", listen_url=listen_url))
        opened.append(backend)
        return backend

    yield joined
    for backend in opened:
        await backend.close()


@pytest.fixture
def pooled(pooler: int, database: str) -> str:
    """The URL of the database through pgbouncer."""
    return POSTGRES.set(host="127.0.0.1", port=pooler, database=database).render_as_string(hide_password=False)


@pytest.fixture
async def join(pooled: str, database: str, clock: ManualClock) -> AsyncIterator[Join]:
    async for joined in _joining(pooled, _text(database), clock):
        yield joined


@pytest.fixture
async def join_without_wake_ups(pooled: str, clock: ManualClock) -> AsyncIterator[Join]:
    async for joined in _joining(pooled, None, clock):
        yield joined


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


@pytest.mark.cluster_rule("C9")
async def test_without_a_direct_session_nodes_find_by_looking_what_others_leave_to_them(
    join_without_wake_ups: Join, clock: ManualClock
) -> None:
    accepting, running = await join_without_wake_ups(), await join_without_wake_ups()
    async with consuming(running) as there:
        await there.nothing(running)
        envelope = Envelopes(clock).make()
        await accepting.queue.put(envelope)
        assert (await there.next()).execution_id == envelope.execution_id
