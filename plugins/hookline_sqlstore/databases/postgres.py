"""PostgreSQL through asyncpg: one connection that writes and holds the server's lock, and a pool that reads."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hookline.api import StoreError
from hookline.api_storage import Clock
from hookline_sqlstore.databases import schema
from hookline_sqlstore.databases.address import CONNECT_TIMEOUT, Address, quoted
from hookline_sqlstore.databases.database import GROUP, PATIENCE, PATIENT, Listener
from hookline_sqlstore.databases.pending import LIMIT, LONG_LIMIT, Pending, PendingCommits, retrieve, within_limit
from hookline_sqlstore.databases.schema_lock import PATIENCE_FOR_DEAD, SchemaLock, Session, end_session
from hookline_sqlstore.databases.session import dispose, prepare_sessions
from hookline_sqlstore.reading import work
from hookline_sqlstore.writing.apply import Failure, apply
from hookline_sqlstore.writing.operations import Commit
from hookline_sqlstore.writing.order_places import OrderPlaces
from hookline_sqlstore.writing.statement import PostgresDialect

T = TypeVar("T")

READERS: Final = 4
_BEAT: Final = 2.0
"""Seconds between signs of life of an idle session that writes. They show other servers that this one lives, and this
one that its session does."""
_AGAIN: Final = 1.0
"""Seconds between attempts to connect."""
_SLOW: Final = 10.0
"""Seconds after which the log says that opening the database takes long."""

_log: Final = logging.getLogger("hookline.store")


class PostgresDatabase:
    """A schema of a database."""

    def __init__(self, address: Address, *, clock: Clock, listener: Listener) -> None:
        self._address = address
        self._name = address.name
        self._clock = clock
        self.lines = OrderPlaces(clock)
        self._lock = SchemaLock(self._name, address.schema)
        self._writing: AsyncEngine | None = None
        self._reading: AsyncEngine | None = None
        self._readers: WeakSet[Any] = WeakSet()
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        """The connection of asyncpg below it."""
        self._pending = PendingCommits(self._name, listener)
        self._waiting: deque[Pending] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._writing = self._address.engine(poolclass=NullPool)
        self._reading = self._address.engine(pool_size=READERS, max_overflow=0, pool_pre_ping=True)
        prepare_sessions(self._writing.sync_engine)
        self._readers = prepare_sessions(self._reading.sync_engine, longest_query=LONG_LIMIT + LIMIT)
        try:
            connection = await self._connect(wait=PATIENCE_FOR_DEAD)
            await self._told_if_slow(connection.run_sync(self._prepare))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            await self._release()
            raise self._address.failure("opened", error) from error
        except BaseException:
            await self._release()
            raise
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="hookline-postgres-writer")

    def _prepare(self, connection: Connection) -> None:
        if self._address.schema is not None:
            with connection.begin():
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._address.schema)}")
        schema.upgrade(connection)
        work.recover(connection, self._clock.now())
        self.lines.start(work.last_in_line(connection))

    async def _told_if_slow(self, work: Coroutine[Any, Any, None]) -> None:
        timer = asyncio.get_running_loop().call_later(
            _SLOW, _log.warning, "opening the database takes long: is a table locked, or are there many executions?"
        )
        try:
            await work
        finally:
            timer.cancel()

    async def _connect(self, *, wait: float = 0.0) -> AsyncConnection:
        """Return the connection that writes; it holds the lock as long as it lives, so no earlier transaction does."""
        async with self._connected() as connection, asyncio.timeout(wait + PATIENCE_FOR_DEAD + LIMIT):
            await self._lock.take(connection, wait=wait)
            self._driver = (await connection.get_raw_connection()).driver_connection
        self._connection = connection
        self._pending.works()
        return connection

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A new connection, which is closed after an error."""
        assert self._writing is not None  # noqa: S101 - it is while the writer runs
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await self._writing.connect()
        try:
            yield connection
        except BaseException:
            await _drop(connection)
            raise

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        if self._writer is None or self._closing:
            raise StoreError(f"{self._name} is closed")
        pending = self._pending.add(commit)
        self._waiting.append(pending)
        self._arrived.set()
        return pending.done

    async def _write(self) -> None:
        """Write commits; those that arrive during a transaction share the next one."""
        while True:
            if not self._waiting:
                if self._closing:
                    return
                await self._idle()
                continue
            await self._patience()
            await self._commit([self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))])

    async def _idle(self) -> None:
        """Return when a commit has arrived; meanwhile, keep the connection alive, or make it again."""
        self._arrived.clear()
        try:
            async with asyncio.timeout(_AGAIN if self._connection is None else _BEAT):
                await self._arrived.wait()
        except TimeoutError:
            await self._attempt(self._beat)

    async def _patience(self) -> None:
        """Return as soon as a commit waits that isn't patient."""
        until = asyncio.get_running_loop().time() + PATIENCE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while (
                    not self._closing
                    and len(self._waiting) < PATIENT
                    and all(pending.commit.patient for pending in self._waiting)
                ):
                    self._arrived.clear()
                    await self._arrived.wait()

    async def _commit(self, group: list[Pending]) -> None:
        async def work(connection: AsyncConnection) -> list[Failure | None]:
            # Only now: until there is a connection, their callers may give them up.
            nonlocal group
            group = self._pending.begin(group)
            commits = [pending.commit for pending in group]
            return await connection.run_sync(apply, PostgresDialect(), commits) if commits else []

        found = await self._attempt(work)
        if isinstance(found, StoreError):
            self._pending.fail(group, found)
        else:
            self._pending.end(group, found)
            self._pending.works()

    async def _attempt(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T | StoreError:
        """Return the result of work on the connection that writes, or the reason why it failed.

        What was begun on a connection that fails is in doubt until the next one has the lock.
        """
        connection = self._connection
        try:
            if connection is None:
                connection = await self._connect()
        except Exception as error:  # noqa: BLE001 - the callers wait: whatever it is, it is theirs to hear
            failure = error if isinstance(error, StoreError) else self._address.failure("written", error)
            self._pending.remain_in_doubt(failure)
            return failure
        try:
            return await self._watched(asyncio.ensure_future(work(connection)))
        except Exception as error:  # noqa: BLE001 - as above
            self._pending.begin_doubt()
            await self._disconnect()
            return error if isinstance(error, StoreError) else self._address.failure("written", error)

    async def _beat(self, _connection: AsyncConnection) -> None:
        """Send a query that opens no transaction."""
        await self._driver.execute("SELECT 1")

    async def _watched(self, work: "asyncio.Future[T]") -> T:
        """Return the result of work on the session that writes; if it takes too long, end the session."""
        limit = LONG_LIMIT
        work.add_done_callback(retrieve)
        while not (await asyncio.wait((work,), timeout=limit))[0]:
            # As long as the server doesn't confirm that the session has ended, it may still commit.
            if self._lock.session is not None and await self._end(self._lock.session):
                self._abort()
            limit = LIMIT
        return work.result()

    async def _end(self, session: Session) -> bool:
        """End a session from another one; return false if that isn't possible now."""
        try:
            async with asyncio.timeout(LIMIT), self._connected() as connection:
                await end_session(connection, session)
                await _drop(connection)
        except (SQLAlchemyError, OSError, TimeoutError):
            return False
        return True

    def _abort(self) -> None:
        """Close the connection that writes without waiting for anything, so that what waits for it fails."""
        if self._driver is not None:
            self._driver.terminate()

    async def _disconnect(self) -> None:
        """Drop a connection that can't be trusted; the next attempt opens another one and takes the lock again."""
        connection, self._connection = self._connection, None
        self._driver = None
        if connection is not None:
            await _drop(connection)

    async def read(self, question: Callable[[Connection], T], *, long: bool = False) -> T:
        if self._reading is None:
            raise StoreError(f"{self._name} is closed")
        return await within_limit(self._name, asyncio.ensure_future(self._read(self._reading, question)), long=long)

    async def _read(self, engine: AsyncEngine, question: Callable[[Connection], T]) -> T:
        await self._pending.settled()
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(question)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise self._address.failure("read", error) from error

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        if self._writer is not None:
            _, hanging = await asyncio.wait((self._writer,), timeout=LIMIT)
            if hanging:
                self._abort()
                self._writer.cancel()
                await asyncio.wait((self._writer,), timeout=LIMIT)
            self._writer = None
        await self._release()

    async def _release(self) -> None:
        await self._disconnect()
        if self._reading is not None:
            await dispose(self._reading, self._readers)
        self._writing = self._reading = None


async def _drop(connection: AsyncConnection) -> None:
    with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
        async with asyncio.timeout(LIMIT):
            await connection.invalidate()
            await connection.close()
