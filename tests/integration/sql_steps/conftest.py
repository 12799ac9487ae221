"""Databases for tests of the actions `sql.…`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.sql_steps.sql_room import POSTGRES, Room, postgres_schema


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    if request.param == "sqlite":
        made = Room(f"sqlite:///{tmp_path}/books.db")
        yield made
        await made.resources.close()
        return
    async with postgres_schema() as url:
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
        "paid_at TIMESTAMP, lines INTEGER, settled BOOLEAN)",
    )
    return room
