"""Databases of these tests, and nodes over them."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import CacheStats
from tests.acceptance.postgres import postgres_schema
from tests.integration.migrated_schema import connected

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend_makers import postgresql, sqlite

Join = Callable[[], Awaitable[Backend]]
Connect = Callable[[], Awaitable[Any]]
Silence = Callable[[Backend], Awaitable[None]]


@pytest.fixture
def compiled_once() -> Iterator[None]:
    """No statement is compiled each time it is executed: that takes longer than most queries."""
    without_key: set[str] = set()

    def note(_connection: Connection, _cursor: object, statement: str, _: object, context: Any, _many: bool) -> None:
        # SQLAlchemy's own savepoints have none, either.
        if (
            context.compiled is not None
            and context.cache_hit is CacheStats.NO_CACHE_KEY
            and "SAVEPOINT" not in statement
        ):
            without_key.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield
    event.remove(Engine, "before_cursor_execute", note)
    assert without_key == set()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with the tables of a new server."""
    path = tmp_path_factory.mktemp("migrated") / "hookline.db"

    async def create() -> None:
        backend = sqlite(f"sqlite:///{path}", clock=ManualClock())
        await backend.open()
        await backend.close()

    asyncio.run(create())
    assert not path.with_name("hookline.db-wal").exists(), "a copy of the file would lack it"
    return path


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


def clock_of_today() -> ManualClock:
    """A clock that agrees with the database's on the day, which migrations use; its hour is fixed."""
    return ManualClock(datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0))


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
