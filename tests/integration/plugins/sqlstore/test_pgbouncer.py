"""Many nodes on PostgreSQL through pgbouncer, which gives each transaction any of its sessions."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import make_url
from tests.acceptance.postgres import POSTGRES, postgres_database
from tests.integration.migrated_schema import MigratedSchema
from tests.integration.plugins.sqlstore.conftest import Join, nodes
from tests.ports import free_port
from tests.services import need_program, need_server

from hookline.testing.clock import ManualClock
from hookline.testing.contracts.cluster import ClusterContract
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes

SERVER = make_url(POSTGRES)

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


@pytest.fixture(scope="module")
def pooler() -> Iterator[int]:
    """A pgbouncer that pools transactions; its port."""
    program = need_program("pgbouncer", "pgbouncer")
    need_server("PostgreSQL", SERVER.port or 5432, SERVER.host or "127.0.0.1")
    server = {
        "host": SERVER.host,
        "port": SERVER.port or 5432,
        "user": SERVER.username,
        "password": SERVER.password,
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
    url = SERVER.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    async with asyncio.timeout(30):
        while True:
            try:
                await (await asyncpg.connect(url, timeout=5)).close()
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
            else:
                return


@pytest.fixture(scope="module")
def database() -> Iterator[MigratedSchema]:
    """A database for these tests: search paths don't go through the pooler."""
    with postgres_database() as url:
        # The sessions of the pooler are still open at the end.
        yield asyncio.run(MigratedSchema.create(url))


@pytest.fixture
async def tables(database: MigratedSchema) -> str:
    """The direct URL of the database, whose tables are as those of a new server."""
    return await database.cleared()


@pytest.fixture
def pooled(pooler: int, tables: str) -> str:
    """The URL of the database through pgbouncer."""
    return make_url(tables).set(host="127.0.0.1", port=pooler).render_as_string(hide_password=False)


@pytest.fixture
async def join(pooled: str, tables: str, clock: ManualClock) -> AsyncIterator[Join]:
    async with nodes(pooled, clock, listen_url=tables) as joined:
        yield joined


@pytest.fixture
async def join_without_wake_ups(pooled: str, clock: ManualClock) -> AsyncIterator[Join]:
    async with nodes(pooled, clock) as joined:
        yield joined


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
