"""Databases of these tests. To run the migrations for each test would take longer than the tests."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import make_url
from tests.acceptance.postgres import postgres_schema

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend import postgresql

Join = Callable[[], Awaitable[Backend]]
Connect = Callable[[], Awaitable[Any]]
Silence = Callable[[Backend], Awaitable[None]]


async def connected(url: str) -> Any:
    """A session in the schema that a URL names, or in the first one."""
    parts = make_url(url)
    schema = parts.query.get("schema")
    address = parts.set(query={}).render_as_string(hide_password=False)
    return await asyncpg.connect(address, timeout=10, server_settings={"search_path": schema} if schema else None)


@dataclass(frozen=True)
class Migrated:
    """A schema with tables, which `cleared` makes as they were after the migrations."""

    url: str
    rows: dict[str, list[Any]]
    """By table, what the migrations have written."""

    @classmethod
    async def create(cls, url: str) -> "Migrated":
        """Run the migrations there."""
        backend = postgresql(url, clock=ManualClock())
        await backend.open()
        await backend.close()
        session = await connected(url)
        try:
            names = await session.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            # The backend was a node.
            await session.execute("DELETE FROM nodes")
            return cls(url, {name: await session.fetch(f'SELECT * FROM "{name}"') for (name,) in names})
        finally:
            await session.close()

    async def cleared(self) -> str:
        """Remove what tests have written, and return the URL."""
        session = await connected(self.url)
        try:
            async with session.transaction():
                # To truncate so many tables takes a hundred times as long.
                await session.execute(";".join(f'DELETE FROM "{name}"' for name in self.rows))
                for name, rows in self.rows.items():
                    if rows:
                        await session.copy_records_to_table(name, records=[tuple(row) for row in rows])
        finally:
            await session.close()
        return self.url


@pytest.fixture(scope="session")
def migrated() -> Iterator[Migrated]:
    """One schema for all tests of this process."""
    with postgres_schema() as url:
        yield asyncio.run(Migrated.create(url))


@pytest.fixture
async def tables(migrated: Migrated) -> str:
    """The URL of a schema of PostgreSQL whose tables are as those of a new server."""
    return await migrated.cleared()


@pytest.fixture
def file_url(tmp_path: Path, migrated_file: Path) -> str:
    """The URL of a file of SQLite with tables."""
    path = tmp_path / "data" / "hookline.db"
    path.parent.mkdir()
    shutil.copy(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def schema() -> Iterator[str]:
    """The URL of a schema of PostgreSQL that doesn't exist yet."""
    with postgres_schema() as url:
        yield url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def clock_of_now() -> ManualClock:
    """A clock that agrees with the database's, whose time migrations use."""
    clock = ManualClock()
    clock.advance((datetime.now(UTC) - clock.now()).total_seconds())
    return clock


@contextlib.asynccontextmanager
async def nodes(url: str, clock: ManualClock, listen_url: str | None = None) -> AsyncIterator[Join]:
    """Opens backends over one database, and closes them at the end."""
    async with contextlib.AsyncExitStack() as stack:
        numbers = itertools.count(1)

        async def join() -> Backend:
            backend = postgresql(url, clock=clock)
            await backend.open(NodeDescription(f"node-{next(numbers)}", listen_url=listen_url))
            stack.push_async_callback(backend.close)
            return backend

        yield join


@pytest.fixture
async def join(tables: str, clock: ManualClock) -> AsyncIterator[Join]:
    async with nodes(tables, clock) as joined:
        yield joined


@pytest.fixture
async def session(tables: str) -> AsyncIterator[Connect]:
    """Opens sessions of a test's own."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect() -> Any:
            made = await connected(tables)
            stack.push_async_callback(made.close)
            return made

        yield connect


@pytest.fixture
def silence(session: Connect) -> Silence:
    """Ends the lease of a node, as another node does if it doesn't hear of it."""

    async def silenced(backend: Backend) -> None:
        name = backend.membership.node.name
        await (await session()).execute("UPDATE nodes SET until = 0, gone_at = 1 WHERE name = $1", name)

    return silenced
