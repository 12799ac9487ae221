"""The status of a database: its place, the version of its tables, and its size. Nothing is created for it."""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import SQLAlchemyError

from hookline.api import StoreError
from hookline.api_storage import DatabaseStatus
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.databases.pending_commits import LONG_LIMIT
from hookline_sqlstore.databases.postgres_address import CONNECT_TIMEOUT, Address
from hookline_sqlstore.databases.postgres_session_upkeep import dispose, sessions_of
from hookline_sqlstore.databases.sqlite import failing, read_only
from hookline_sqlstore.reading.disk_usage import disk_usage


def status_of_file(path: Path) -> DatabaseStatus:
    """Return the status of a SQLite file, also while a server of another process uses it."""
    if not path.exists():
        return _unreachable(str(path), f"there is no database {path}")
    try:
        with failing(f"{path} can't be read"), read_only(path) as connection:
            return _status(connection, str(path))
    except StoreError as error:
        return _unreachable(str(path), error.message)


async def status_of_schema(address: Address) -> DatabaseStatus:
    """Return the status of a schema of PostgreSQL, also while servers use it."""
    engine = address.engine(longest_query=LONG_LIMIT, poolclass=NullPool)
    sessions = sessions_of(engine.sync_engine)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT + LONG_LIMIT), engine.connect() as connection:
            return await connection.run_sync(_status, address.place)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        return _unreachable(address.place, address.failure("read", error).message)
    finally:
        await dispose(engine, sessions)


def _status(connection: Connection, name: str) -> DatabaseStatus:
    version = table_versions.version(connection)
    return DatabaseStatus(
        database=name,
        reachable=True,
        problem=table_versions.problem(connection, version),
        version=version,
        latest=table_versions.latest(),
        size=disk_usage(connection).total,
    )


def _unreachable(name: str, problem: str) -> DatabaseStatus:
    return DatabaseStatus(
        database=name, reachable=False, problem=problem, version=None, latest=table_versions.latest(), size=None
    )
