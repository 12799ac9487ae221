"""The tables of a PostgreSQL schema, filled by a copy.

The rows are written and read back in one transaction, which also ends the mark of an incomplete copy. So a copy that is
killed leaves empty tables with that mark, and no server uses them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, NullPool, exists, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hookline.api import StoreError
from hookline.api_storage import Row
from hookline_sqlstore.copy_mark import END_COPY
from hookline_sqlstore.copying.copied_tables import NEVER_EMPTY, TABLES, PageSize, in_order, layout
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.databases.postgres_address import Address, quoted
from hookline_sqlstore.databases.postgres_session_upkeep import dispose, sessions_of
from hookline_sqlstore.node_lease import NOW

if TYPE_CHECKING:
    from asyncpg import Connection as Driver  # type: ignore[import-untyped]  # it has no types

_PATIENCE: Final = 30.0
"""Seconds to wait for the end of another copy's session; PostgreSQL ends that of a dead host sooner."""
_AGAIN: Final = 0.25
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('hookline copy'), hashtext($1))"
_NODES: Final = f"SELECT name FROM nodes WHERE gone_at IS NULL AND until > {NOW}"  # noqa: S608 - our own names
_END_LEASES: Final = f"UPDATE nodes SET gone_at = {NOW} WHERE gone_at IS NULL AND until <= {NOW}"  # noqa: S608 - as above
"""Ends leases that have run out: their nodes may be paused, and could go on with these leases otherwise."""
_RELEASE: Final = (
    "UPDATE executions SET owner = NULL,"  # noqa: S608 - as above
    f" ready_at = CASE WHEN state = 'running' THEN least(created_at, {NOW}) ELSE ready_at END"
    " WHERE NOT history AND finished_at IS NULL AND (owner IS NOT NULL OR state = 'running')"
)
"""Makes executions ready that a process of the source ran or had claimed: no node of the target has to release them."""


@contextlib.asynccontextmanager
async def filling(address: Address) -> AsyncIterator["PostgresWriter"]:
    """Fill the tables of a schema, which are created if there are none. Raises StoreError."""
    engine = address.engine(poolclass=NullPool)
    sessions = sessions_of(engine.sync_engine)
    try:
        async with contextlib.AsyncExitStack() as stack:
            with _failing(f"{address.name} can't be opened"):
                connection = await stack.enter_async_context(engine.connect())
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await _take_lock(driver, address)
                await connection.run_sync(_prepare, address)
            selects = {name: str(in_order(table).compile(dialect=engine.dialect)) for name, table in TABLES.items()}
            async with _transaction(driver) as transaction:
                with _failing(f"{address.name} can't be locked"):
                    # Nodes that start from now on wait, or see that the tables are incomplete.
                    await driver.execute("LOCK TABLE nodes IN EXCLUSIVE MODE")
                    _check_unserved([row["name"] for row in await driver.fetch(_NODES)], address)
                    for name in NEVER_EMPTY:
                        await driver.execute(f"DELETE FROM {quoted(name)}")  # noqa: S608 - as above
                yield PostgresWriter(driver, transaction, address, selects)
    finally:
        await dispose(engine, sessions)


async def _take_lock(driver: "Driver", address: Address) -> None:
    """Take the lock by which one copy at a time fills a schema; it ends with the session. Raises StoreError.

    The session of a copy that was killed may still be there for a moment.
    """
    until = asyncio.get_running_loop().time() + _PATIENCE
    while not await driver.fetchval(_LOCK, address.schema or ""):
        if asyncio.get_running_loop().time() >= until:
            raise StoreError(f"another copy into {address.name} is in progress: wait until it has ended")
        await asyncio.sleep(_AGAIN)


def _check_unserved(nodes: Sequence[str], address: Address) -> None:
    if nodes:
        raise StoreError(f"{address.name} is served by {', '.join(nodes)}: stop these servers, or copy elsewhere")


def _prepare(connection: Connection, address: Address) -> None:
    """Create or upgrade the tables, and mark them. Raises StoreError if one of them has rows."""
    if address.schema is not None:
        with connection.begin():
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(address.schema)}")
    table_versions.abandon_copy(connection)
    with connection.begin():
        there = set(inspect(connection).get_table_names())
        filled = [
            name
            for name, table in TABLES.items()
            if name in there
            and name not in NEVER_EMPTY
            and connection.scalar(select(exists(select(1).select_from(table))))
        ]
        living = connection.scalars(text(_NODES)).all() if "nodes" in there else ()
    _check_unserved(living, address)
    if filled:
        raise StoreError(
            f"{address.name} is not empty: there are rows in the tables {', '.join(filled)}. Copy into an "
            "empty database, or into another schema (?schema=name)"
        )
    table_versions.upgrade(connection)
    table_versions.begin_copy(connection)
    with connection.begin():
        connection.execute(text(_END_LEASES))


@contextlib.asynccontextmanager
async def _transaction(driver: "Driver") -> AsyncIterator[Any]:
    """A transaction that is rolled back, unless its user commits it."""
    transaction = driver.transaction()
    await transaction.start()
    try:
        yield transaction
    finally:
        if driver.is_in_transaction() and not driver.is_closed():
            await transaction.rollback()


class PostgresWriter:
    """The tables of a schema, in a transaction that is not committed."""

    def __init__(self, driver: "Driver", transaction: Any, address: Address, selects: Mapping[str, str]) -> None:
        """`selects`: the query of all rows of each table."""
        self.layout = layout()
        self._selects = selects
        self._driver = driver
        self._transaction = transaction
        self._address = address

    async def write(self, table: str, rows: Sequence[Row]) -> None:
        columns = [column.name for column in TABLES[table].columns]
        with _failing(f"the table {table} of {self._address.name} can't be written"):
            await self._driver.copy_records_to_table(
                table, records=rows, columns=columns, schema_name=self._address.schema
            )

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        with _failing(f"the table {table} of {self._address.name} can't be read"):
            cursor = await self._driver.cursor(self._selects[table])
            size = PageSize()
            while page := [tuple(record) for record in await cursor.fetch(size.rows)]:
                yield page
                size.adapt(page)

    async def commit(self) -> None:
        with _failing(f"{self._address.name} can't be written"):
            # The planner would take the tables for empty ones until the database notices their rows by itself.
            await self._driver.execute(f"ANALYZE {', '.join(map(quoted, TABLES))}")
            await self._driver.execute(_RELEASE)
            await self._driver.execute(END_COPY)
            await self._transaction.commit()


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Raise the errors of the database, and of the way to it, as StoreError."""
    from asyncpg import InterfaceError, PostgresError

    try:
        yield
    except (SQLAlchemyError, PostgresError, InterfaceError, OSError, TimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(f"{what}: {str(cause) or type(cause).__name__}") from error
