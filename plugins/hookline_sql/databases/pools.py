"""The open databases of an engine's steps: a pool for each, and a limited number at a time."""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolResetState

from hookline.api import StepError
from hookline.api_storage import Threads
from hookline_sql.databases.address import Address
from hookline_sql.databases.connecting import connect_mysql, connect_postgres
from hookline_sql.databases.failures import translated
from hookline_sql.databases.mysql import SESSION, as_new, is_mysql
from hookline_sql.databases.own_server import check_server
from hookline_sql.databases.sqlite_limits import limit
from hookline_sql.values import to_json_text

R = TypeVar("R")

OPEN: Final = 32
"""The most databases that stay open; the least recently used one is closed for another."""
CONNECTIONS: Final = 8
"""The most connections to one database."""
_GOODBYE: Final = 1.0
"""Seconds to wait for a server to close a connection, and for work in threads to end."""
_LOOKS_EVERY: Final = 100_000
"""The number of SQLite instructions, about a millisecond, after which it checks for an interruption."""
_LOCK_WAIT: Final = 10.0
"""Seconds for which SQLite waits for another writer."""

#: PostgreSQL would keep the locks of a transaction for two hours after its client's host is gone, and the step that
#: another node repeats would wait for them. With these settings, PostgreSQL notices after a minute. Other systems than
#: Linux reject the last one, or some versions for them do.
_CLIENT_MAY_BE_GONE: Final = (
    "SELECT set_config(wanted.name, wanted.value, false) FROM (VALUES ('tcp_keepalives_idle', '30'),"
    " ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '60s'),"
    " ('client_connection_check_interval', '30s')) AS wanted(name, value) JOIN pg_settings USING (name)"
    " WHERE name <> 'client_connection_check_interval' OR version() LIKE '%linux%'"
)

#: The extras of Hookline with the drivers.
_EXTRAS: Final = {"asyncpg": "hookline[postgres]", "asyncmy": "hookline[mysql]"}


class Databases:
    """A resource of one engine: its steps' databases, by address."""

    def __init__(self) -> None:
        self._open: OrderedDict[Address, Database] = OrderedDict()
        self._in_threads: set[Future[Any]] = set()

    async def run(self, address: Address, work: "Callable[[Database, Connection], R]") -> R:
        """Do work with a connection to a database; the work begins and ends its own transactions.

        Raises StepError for each error of the database (see `failures`).
        """
        database = self._open.get(address)
        if database is None:
            database = self._open[address] = Database(address, self._counted)
        self._open.move_to_end(address)
        database.users += 1
        try:
            await self._close_idle()
            with translated(address.url):
                return await database.run(work)
        finally:
            database.users -= 1

    async def _close_idle(self) -> None:
        for address in list(self._open):
            if len(self._open) <= OPEN:
                return
            if not self._open[address].users:
                await self._open.pop(address).close()

    def _counted(self, future: Future[Any]) -> None:
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)

    async def close(self) -> None:
        """Wait a moment for work in threads, then close all databases."""
        for database in self._open.values():
            database.threads.shutdown(cancel_futures=True)
        await asyncio.to_thread(wait, tuple(self._in_threads), timeout=_GOODBYE)
        while self._open:
            _, database = self._open.popitem()
            await database.close()


class Database:
    """One database and its pool. SQLite works in threads."""

    def __init__(self, address: Address, counted: Callable[[Future[Any]], None]) -> None:
        """`counted` is called with work that was given to a thread."""
        self.url = url = address.url
        self.users = 0
        self.tables: dict[str, Table] = {}
        """Reflected tables, by their names in steps."""
        self.types: dict[str, dict[str, str]] = {}
        """The types that the server infers for the parameters of a statement."""
        self.has_effects = False
        # SQLite's writers wait for each other by polling, and unfairly, so ours take turns before that.
        self.writing: AbstractContextManager[object] = Lock() if url.get_backend_name() == "sqlite" else nullcontext()
        self.threads = Threads(CONNECTIONS, "sql")
        """Those of SQLite. They are its own, so that slow work with one file keeps nobody from another."""
        self._counted = counted
        self._engine = _engine(address)
        self._sessions: WeakSet[Any] = WeakSet()
        if isinstance(self._engine, AsyncEngine):
            event.listen(self._engine.sync_engine, "connect", self._connected)

    async def run(self, work: "Callable[[Database, Connection], R]") -> R:
        engine = self._engine
        if isinstance(engine, AsyncEngine):
            async with engine.connect() as connection:
                return await connection.run_sync(lambda connection: work(self, connection))
        # Counted until the thread is done; a cancelled step doesn't wait for it.
        self.users += 1
        loop = asyncio.get_running_loop()
        job = _Job(engine, lambda connection: work(self, connection))
        future = self.threads.submit(job)
        self._counted(future)
        future.add_done_callback(lambda _: self._done_in(loop))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            job.interrupt()
            raise

    def _connected(self, connection: Any, _record: object) -> None:
        # Only drivers that wait for a last response of the server have this.
        if hasattr(connection.driver_connection, "terminate"):
            self._sessions.add(connection.driver_connection)

    def _done_in(self, loop: asyncio.AbstractEventLoop) -> None:
        # Work that hangs may outlive the loop; then nothing is counted.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        self.users -= 1

    async def close(self) -> None:
        if isinstance(self._engine, AsyncEngine):
            closing = asyncio.ensure_future(self._engine.dispose())
            if not (await asyncio.wait((closing,), timeout=_GOODBYE))[0]:
                for session in self._sessions:
                    session.terminate()
            await closing
        else:
            self.threads.shutdown()
            self._engine.dispose()


class _Job(Generic[R]):
    """Work with a connection of SQLite, in a thread."""

    def __init__(self, engine: Engine, work: Callable[[Connection], R]) -> None:
        self._engine = engine
        self._work = work
        self._interrupted = False

    def __call__(self) -> R:
        with self._engine.connect() as connection:
            if self._interrupted:
                raise CancelledError
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - others work with the event loop
            # SQLite's own `interrupt` is lost if the statement hasn't begun yet.
            driver.set_progress_handler(lambda: self._interrupted, _LOOKS_EVERY)
            try:
                return self._work(connection)
            finally:
                with suppress(sqlite3.ProgrammingError):  # it was closed after an error
                    driver.set_progress_handler(None, 0)

    def interrupt(self) -> None:
        """Interrupt the statements, for which nobody waits any more."""
        self._interrupted = True


def _engine(address: Address) -> Engine | AsyncEngine:
    # The options of the URL are those of `connecting`.
    url = address.url.set(query={})
    # Python's own encoder doesn't support Decimals.
    shared: dict[str, Any] = {"json_serializer": to_json_text}
    if url.get_backend_name() == "sqlite":
        # A session can't be made as new: what a flow has set in one isn't for the steps of others.
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _LOCK_WAIT}, **shared)
        event.listen(engine, "connect", limit)
        return engine
    options: dict[str, Any] = {
        "pool_size": CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": 30,
        # After a restart of the database, the first step must not fail.
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        **shared,
    }
    connect = connect_postgres if url.get_backend_name() == "postgresql" else connect_mysql
    try:
        served = create_async_engine(url, connect_args=_connect_args(address, connect), **options)
    except ImportError as error:
        raise StepError(
            f"{url.drivername} needs a driver that isn't installed: pip install '{_EXTRAS[url.get_driver_name()]}'",
            code="sql.driver",
        ) from error
    if is_mysql(served.dialect):
        event.listen(served.sync_engine, "connect", _execute(SESSION))
        event.listen(served.sync_engine, "reset", _renew(partial(as_new, database=str(url.database))))
        return served
    event.listen(served.sync_engine, "connect", partial(check_server, address))
    # Servers that only speak PostgreSQL's protocol may not know the statement.
    rejected = served.dialect.loaded_dbapi.Error
    event.listen(served.sync_engine, "connect", _execute(_CLIENT_MAY_BE_GONE, ignoring=rejected))
    event.listen(served.sync_engine, "reset", _renew(_postgres_as_new))
    return served


def _connect_args(address: Address, connect: Callable[..., Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"async_creator_fn": partial(connect, address)}
    if address.url.get_backend_name() == "postgresql":
        # A session that is as new has no prepared statements any more.
        made["prepared_statement_cache_size"] = 0
    return made


async def _postgres_as_new(driver: Any) -> None:
    """Forget settings, roles, temporary tables, locks and prepared statements."""
    await driver.execute("DISCARD ALL")
    await driver.execute(_CLIENT_MAY_BE_GONE)


def _renew(as_new: Callable[[Any], Any]) -> Callable[[Any, object, PoolResetState], None]:
    """Return a listener that makes a session as new when a step has used it: the next step may be of another flow."""

    def renew(connection: Any, _record: object, state: PoolResetState) -> None:
        if state.asyncio_safe and not state.terminate_only:
            connection.rollback()
            connection.run_async(as_new)

    return renew


def _execute(statement: str, *, ignoring: type[Exception] | tuple[()] = ()) -> Callable[[Any, object], None]:
    """Return a listener that executes a statement in each new connection, ignoring errors of a type."""

    def execute(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            connection.commit()
        except ignoring:
            connection.rollback()
        finally:
            cursor.close()

    return execute
