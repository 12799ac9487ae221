"""PostgreSQL, for tests over real servers."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


@contextlib.contextmanager
def postgres_schema() -> Iterator[str]:
    """The URL of a schema of its own; the test is skipped where there is no server, unless one is required."""
    name = f"hookline_{uuid.uuid4().hex[:12]}"
    try:
        asyncio.run(_execute("SELECT 1"))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    try:
        yield f"{POSTGRES}?schema={name}"
    finally:
        asyncio.run(_execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'))


async def _execute(statement: str) -> None:
    connection = await asyncpg.connect(POSTGRES, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
