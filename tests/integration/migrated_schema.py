"""A schema of PostgreSQL for many tests: to run the migrations for each of them would take longer than the tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import make_url

from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend_makers import postgresql

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_PARTITIONS = (
    "SELECT relname, inhparent::regclass::text, pg_get_expr(relpartbound, oid) FROM pg_class"
    " JOIN pg_inherits ON inhrelid = oid WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


async def connected(url: str) -> Any:
    """A session in the schema that a URL names, or in the first one."""
    parts = make_url(url)
    schema = parts.query.get("schema")
    address = parts.set(query={}).render_as_string(hide_password=False)
    return await asyncpg.connect(address, timeout=10, server_settings={"search_path": schema} if schema else None)


@dataclass(frozen=True)
class MigratedSchema:
    """A schema with tables, which `cleared` makes as they were after the migrations."""

    url: str
    rows: Mapping[str, Sequence[Any]]
    """By table, what the migrations have written."""
    partitions: Mapping[str, tuple[str, str]]
    """By partition, its table and its bounds."""

    @classmethod
    async def create(cls, url: str) -> "MigratedSchema":
        """Run the migrations there."""
        backend = postgresql(url, clock=ManualClock())
        await backend.open()
        await backend.close()
        session = await connected(url)
        try:
            # The backend was a node.
            await session.execute("DELETE FROM nodes")
            partitions = {name: (table, bounds) for name, table, bounds in await session.fetch(_PARTITIONS)}
            tables = [name for (name,) in await session.fetch(_TABLES) if name not in partitions]
            return cls(url, {name: await session.fetch(f'SELECT * FROM "{name}"') for name in tables}, partitions)
        finally:
            await session.close()

    async def cleared(self) -> str:
        """Remove what tests have written, and return the URL."""
        session = await connected(self.url)
        try:
            async with session.transaction():
                # To truncate so many tables takes a hundred times as long.
                statements = [f'DELETE FROM "{name}"' for name in self.rows]
                there = {name for (name,) in await session.fetch(_TABLES)}
                made = there - self.rows.keys() - self.partitions.keys()
                statements += [f'DROP TABLE "{name}"' for name in made]
                statements += [
                    f'CREATE TABLE "{name}" PARTITION OF {table} {bounds}'
                    for name, (table, bounds) in self.partitions.items()
                    if name not in there
                ]
                await session.execute(";".join(statements))
                for name, rows in self.rows.items():
                    if rows:
                        await session.copy_records_to_table(name, records=[tuple(row) for row in rows])
        finally:
            await session.close()
        return self.url
