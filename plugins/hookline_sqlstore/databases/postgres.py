"""PostgreSQL through asyncpg: one connection that writes and holds the server's lock, and a pool that reads."""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hookline.api import StoreError
from hookline.api_storage import Clock
from hookline_sqlstore.databases import schema
from hookline_sqlstore.databases.database import GROUP, PATIENCE, PATIENT, Committed
from hookline_sqlstore.reading import work
from hookline_sqlstore.writing.apply import Failure, apply
from hookline_sqlstore.writing.operations import Commit
from hookline_sqlstore.writing.order_places import OrderPlaces
from hookline_sqlstore.writing.statement import PostgresDialect

T = TypeVar("T")

READERS: Final = 4
_CONNECT_TIMEOUT: Final = 10.0
"""Seconds."""

_HOLDER: Final = text(
    "SELECT activity.pid, activity.client_addr FROM pg_locks AS locks"
    " JOIN pg_stat_activity AS activity ON activity.pid = locks.pid"
    " WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1"
    " AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((locks.classid::bigint << 32) | locks.objid::bigint) = :key"
)


class PostgresDatabase:
    """A schema of a database: `public`, unless the URL has `?schema=name`."""

    def __init__(self, url: URL, *, clock: Clock, committed: Committed) -> None:
        schema_name = url.query.get("schema")
        if unknown := set(url.query) - {"schema"} or (schema_name is not None and not isinstance(schema_name, str)):
            raise StoreError(f"{url!r}: of settings in the URL there is `schema`, once; not {unknown}")
        self._schema: str | None = schema_name
        self._url = url.set(drivername="postgresql+asyncpg", query={})
        self._name = f"the database {self._url.render_as_string(hide_password=True)}"
        self._clock = clock
        self._committed = committed
        self.lines = OrderPlaces(clock)
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None
        self._waiting: deque[tuple[Commit, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        settings = {"application_name": "hookline"}
        if self._schema is not None:
            settings["search_path"] = '"' + self._schema.replace('"', '""') + '"'
        try:
            self._engine = create_async_engine(
                self._url,
                pool_size=READERS + 1,
                max_overflow=0,
                pool_pre_ping=True,
                connect_args={"timeout": _CONNECT_TIMEOUT, "server_settings": settings},
            )
        except ModuleNotFoundError as error:
            # SQLAlchemy imports the driver only here.
            raise StoreError(f"PostgreSQL needs {error.name}: pip install 'hookline[postgres]'") from error
        try:
            connection = await self._connect(self._engine)
            await connection.run_sync(self._prepare)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            await self._release()
            raise self._failure("opened", error) from error
        except BaseException:
            await self._release()
            raise
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="hookline-postgres-writer")

    def _prepare(self, connection: Connection) -> None:
        if self._schema is not None:
            quoted = connection.dialect.identifier_preparer.quote(self._schema)
            with connection.begin():
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        schema.upgrade(connection)
        work.recover(connection, self._clock.now())
        self.lines.start(work.last_in_line(connection))

    async def _connect(self, engine: AsyncEngine) -> AsyncConnection:
        """Return the connection that writes; it holds the lock as long as it lives."""
        connection = await engine.connect()
        try:
            await self._lock(connection)
        except BaseException:
            await connection.invalidate()
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _lock(self, connection: AsyncConnection) -> None:
        where = self._schema or await connection.scalar(text("SELECT current_schema()")) or ""
        # The lock is the database's, the tables are the schema's.
        key = int.from_bytes(hashlib.sha256(f"hookline {where}".encode()).digest()[:8], signed=True)
        if not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            holder = (await connection.execute(_HOLDER, {"key": key})).one_or_none()
            raise self._taken(holder, where)
        await connection.commit()

    def _taken(self, holder: Any, where: str) -> StoreError:
        whose = "another process" if holder is None else f"session {holder.pid} (from {holder.client_addr})"
        return StoreError(
            f"{whose} has {self._name}, schema {where}, and one server serves it: use that server's API, stop it, or "
            "use another schema (?schema=name)"
        )

    async def write(self, commit: Commit) -> None:
        if self._writer is None or self._closing:
            raise StoreError(f"{self._name} is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((commit, done))
        self._arrived.set()
        await done

    async def _write(self) -> None:
        """Write commits; those that arrive during a transaction share the next one."""
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._patience()
            group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            for (commit, done), failure in zip(group, await self._apply([commit for commit, _ in group]), strict=True):
                if failure is None:
                    self._committed(commit)
                if done.done():
                    continue  # the caller was cancelled
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)

    async def _patience(self) -> None:
        """Return as soon as a commit waits that isn't patient."""
        until = asyncio.get_running_loop().time() + PATIENCE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while (
                    not self._closing
                    and len(self._waiting) < PATIENT
                    and all(commit.patient for commit, _ in self._waiting)
                ):
                    self._arrived.clear()
                    await self._arrived.wait()

    async def _apply(self, commits: list[Commit]) -> list[Failure | None]:
        try:
            connection = self._connection
            if connection is None:
                assert self._engine is not None  # noqa: S101 - it is while the writer runs
                connection = await self._connect(self._engine)
            return await connection.run_sync(apply, PostgresDialect(), commits)
        except Exception as error:  # noqa: BLE001 - the callers wait: whatever it is, it is theirs to hear
            await self._disconnect()
            failure = error if isinstance(error, StoreError) else self._failure("written", error)
            return [failure] * len(commits)

    async def _disconnect(self) -> None:
        """Drop a connection that can't be trusted; the next commit opens another one and takes the lock again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
                await connection.close()

    async def read(self, question: Callable[[Connection], T]) -> T:
        if self._engine is None:
            raise StoreError(f"{self._name} is closed")
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(question)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise self._failure("read", error) from error

    def _failure(self, what: str, error: BaseException) -> StoreError:
        return StoreError(f"{self._name} can't be {what}: {error.orig if isinstance(error, DBAPIError) else error}")

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer
            self._writer = None
        await self._release()

    async def _release(self) -> None:
        await self._disconnect()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None
