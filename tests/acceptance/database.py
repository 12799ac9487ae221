"""Asking a database in which a server, or one of its steps, has written."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in the database at a URL, as the setting `db` has it; gives its rows."""
    if url.startswith("sqlite:///"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows
    return asyncio.run(_ask_postgresql(url, statement))


@contextlib.contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Another session of a PostgreSQL lets everybody read a table, and nobody write to it."""
    with asyncio.Runner() as runner:
        session = runner.run(_connected(url))
        runner.run(session.execute(f"BEGIN; LOCK TABLE {table} IN SHARE MODE"))
        yield
        runner.run(session.close())


async def _connected(url: str) -> Any:
    address, _, schema = url.partition("?schema=")
    settings = {"search_path": schema} if schema else None
    return await asyncpg.connect(address, timeout=5, server_settings=settings)


async def _ask_postgresql(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await _connected(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
