"""Many nodes whose sessions go through pgbouncer, which gives them another server session for each transaction."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy.engine import make_url
from tests.integration.plugins.sqlstore.pgbouncer import pgbouncer

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.cluster import ClusterContract
from hookline_sqlstore.backend import postgresql

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pgbouncer(POSTGRES) as found:
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    yield connection
    await connection.close()


@pytest.fixture
async def database(server: Any) -> AsyncIterator[str]:
    """A database for one test: pgbouncer knows no schemas."""
    name = f"hookline_{uuid.uuid4().hex[:12]}"
    await server.execute(f'CREATE DATABASE "{name}"')
    yield name
    await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def join(database: str, port: int, clock: ManualClock) -> AsyncIterator[Callable[[], Awaitable[Backend]]]:
    opened: list[Backend] = []
    direct = make_url(POSTGRES).set(database=database)
    pooled = direct.set(host="127.0.0.1", port=port)

    async def joined() -> Backend:
        backend = postgresql(pooled.render_as_string(hide_password=False), clock=clock)
        listen = direct.render_as_string(hide_password=False)
        await backend.open(NodeDescription(f"node-{len(opened) + 1}", listen_url=listen))
        opened.append(backend)
        return backend

    yield joined
    for backend in opened:
        await backend.close()


@pytest.fixture
async def silence(database: str) -> AsyncIterator[Callable[[Backend], Awaitable[None]]]:
    connection = await asyncpg.connect(make_url(POSTGRES).set(database=database).render_as_string(hide_password=False))

    async def silenced(backend: Backend) -> None:
        name = backend.membership.node.name
        await connection.execute("UPDATE nodes SET until = 0, gone_at = 1 WHERE name = $1", name)

    yield silenced
    await connection.close()


@pytest.mark.cluster_rule("C9")
class TestNodesThroughPgbouncer(ClusterContract):
    pass
