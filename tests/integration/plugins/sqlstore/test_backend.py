"""The contract of stores and queues, over both databases, and what is special to each."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from hookline.storage.backend import Backend
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.order import OrderContract
from hookline.testing.contracts.queue import QueueContract
from hookline.testing.contracts.store import StoreContract
from hookline_sqlstore.backend import postgresql, sqlite

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class _Opened:
    """Backends over one database; the last is closed at the end."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make = make
        self.backend = make()

    async def again(self) -> Backend:
        # Nothing is written when a backend closes, so what is durable is what a kill would leave.
        await self.backend.close()
        self.backend = self._make()
        await self.backend.open()
        return self.backend


class _Fixtures:
    @pytest.fixture
    async def opened(self, url: str, clock: ManualClock) -> AsyncIterator[_Opened]:
        make = sqlite if url.startswith("sqlite") else postgresql
        opened = _Opened(lambda: make(url, clock=clock))
        await opened.backend.open()
        yield opened
        await opened.backend.close()

    @pytest.fixture
    def backend(self, opened: _Opened) -> Backend:
        return opened.backend

    @pytest.fixture
    def reopen(self, opened: _Opened) -> Callable[[], Awaitable[Backend]]:
        return opened.again


class _Sqlite(_Fixtures):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/data/hookline.db"


@pytest.fixture
async def schema() -> AsyncIterator[str]:
    """A schema of PostgreSQL for one test; the test is skipped where there is no server, unless one is required."""
    try:
        connection = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    name = f"hookline_{uuid.uuid4().hex[:12]}"
    try:
        yield name
        await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    finally:
        await connection.close()


class _Postgres(_Fixtures):
    @pytest.fixture
    def url(self, schema: str) -> str:
        return f"{POSTGRES}?schema={schema}"


class TestSqliteStore(_Sqlite, StoreContract):
    pass


class TestSqliteQueue(_Sqlite, QueueContract):
    pass


class TestSqliteOrder(_Sqlite, OrderContract):
    pass


@pytest.mark.postgres
class TestPostgresStore(_Postgres, StoreContract):
    pass


@pytest.mark.postgres
class TestPostgresQueue(_Postgres, QueueContract):
    pass


@pytest.mark.postgres
class TestPostgresOrder(_Postgres, OrderContract):
    pass
