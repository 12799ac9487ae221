"""The tables of a SQLite file, read for a copy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, func, select

from hookline.api import StoreError
from hookline.api_storage import Row
from hookline_sqlstore.copying.copied_tables import TABLES, PageSize, in_order, layout
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.databases.process_lock import ProcessLock
from hookline_sqlstore.databases.sqlite import failing, read_only


@contextlib.asynccontextmanager
async def reading(path: Path) -> AsyncIterator["SqliteReader"]:
    """Read the tables of a file while no server can open it. Raises StoreError if one has it open."""
    lock = await asyncio.to_thread(_locked, path)
    try:
        with contextlib.ExitStack() as stack:
            with failing(f"{path} can't be read"):
                connection = stack.enter_context(read_only(path))
                reader = await asyncio.to_thread(_reader, connection, path)
            yield reader
    finally:
        lock.release()


def _locked(path: Path) -> ProcessLock:
    if not path.exists():
        raise StoreError(f"there is no database {path}")
    lock = ProcessLock(path)
    lock.acquire()
    return lock


def _reader(connection: Connection, path: Path) -> "SqliteReader":
    current = table_versions.version(connection)
    if current is None:
        raise StoreError(f"{path} has no tables of Hookline")
    if current != table_versions.latest():
        raise StoreError(
            table_versions.problem(connection, current)
            or f"the tables of {path} are of version {current}; upgrade them first: `hookline db upgrade`"
        )
    # One transaction, so that everything is read in one state, also if a SQLite shell writes.
    connection.begin()
    tables = {
        name: int(connection.scalar(select(func.count()).select_from(table)) or 0) for name, table in TABLES.items()
    }
    return SqliteReader(connection, path, tables)


class SqliteReader:
    """The tables of a file, in the state of one transaction."""

    def __init__(self, connection: Connection, path: Path, tables: Mapping[str, int]) -> None:
        self.layout = layout()
        self.tables = tables
        self._connection = connection
        self._path = path

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        with failing(f"the table {table} of {self._path} can't be read"):
            result = await asyncio.to_thread(self._connection.execute, in_order(TABLES[table]))
            size = PageSize()
            while page := await asyncio.to_thread(_page, result, size.rows):
                yield page
                size.adapt(page)


def _page(result: CursorResult[Any], rows: int) -> list[Row]:
    return [tuple(row) for row in result.fetchmany(rows)]
