"""Databases for tests of the actions `sql.…`."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest
from tests.integration.plugins.sql.sql_room import POSTGRES, Room, mariadb_database, postgres_schema


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    match request.param:
        case "sqlite":
            opened: AbstractAsyncContextManager[str] = nullcontext(f"sqlite:///{tmp_path}/books.db")
        case "postgres":
            opened = postgres_schema()
        case _:
            opened = mariadb_database()
    async with opened as url:
        made = Room(url)
        yield made
        await made.resources.close()


@pytest.fixture
async def mariadb() -> AsyncIterator[Room]:
    async with mariadb_database() as url:
        made = Room(url)
        yield made
        await made.resources.close()


@pytest.fixture
async def postgres() -> AsyncIterator[Room]:
    async with postgres_schema() as url:
        made = Room(url)
        yield made
        await made.resources.close()


@pytest.fixture
async def admin() -> AsyncIterator[Room]:
    made = Room(POSTGRES)
    yield made
    await made.resources.close()


@pytest.fixture
async def books(room: Room) -> Room:
    """A room with a table of invoices."""
    await room(
        "execute",
        sql="CREATE TABLE invoices (reference VARCHAR(40) NOT NULL PRIMARY KEY, amount NUMERIC(40, 20), due DATE, "
        "paid_at TIMESTAMP, pieces INTEGER, settled BOOLEAN)",
    )
    return room
