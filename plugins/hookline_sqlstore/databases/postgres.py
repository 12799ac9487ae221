"""PostgreSQL through asyncpg: one connection that writes under the lease of this node, and a pool that reads."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, NullPool, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hookline.api import StoreError
from hookline.api_storage import Clock, FollowingClock, NodeDescription, PartitionUpkeep
from hookline_sqlstore.cluster.membership import PostgresMembership
from hookline_sqlstore.cluster.watch import Watch
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.databases.database import GROUP, PATIENCE, PATIENT, Listener
from hookline_sqlstore.databases.history_partitions import Partitions
from hookline_sqlstore.databases.pending_commits import (
    LIMIT,
    LONG_LIMIT,
    Pending,
    PendingCommits,
    retrieve,
    within_limit,
)
from hookline_sqlstore.databases.postgres_address import (
    CONNECT_TIMEOUT,
    Address,
    database_errors,
    is_rolled_back,
    quoted,
)
from hookline_sqlstore.databases.postgres_session_upkeep import (
    dispose,
    renew_plans,
    sessions_of,
)
from hookline_sqlstore.dialect import Conflict, PostgresDialect, met_others
from hookline_sqlstore.node_lease import LeaseLost
from hookline_sqlstore.writing.commit_application import Failure, apply
from hookline_sqlstore.writing.prepared_commit import Commit

T = TypeVar("T")

_TAKE_LIMIT: Final = 12.0
"""Seconds in which a new session can continue a lease: the server ends a session without a client sooner."""
_CONFLICT_PAUSE: Final = 0.05
"""Seconds until a commit is repeated that has met others."""
_REPEATS: Final = 2
"""The number of attempts for a group of commits that meets those of another node."""
_TURNS: Final = 2
"""Turns of the event loop before a transaction, in which executions that the last one let go on add their next commits.
Otherwise the executions split into two groups, and each transaction has the commits of only one."""
READERS: Final = 4
_BEAT: Final = 2.0
"""Seconds after which an idle node renews its lease."""
_AGAIN: Final = 1.0
"""Seconds between attempts to connect."""
_LOCK_LIMIT_ALONE: Final = 1.0
"""Seconds for which a commit that has met others waits for a lock, when it is repeated by itself."""
_SLOW: Final = 10.0
"""Seconds after which the log says that opening the database takes long."""

_IDENTITY: Final = (
    "SELECT system_identifier::text, oid::text, session_user::text, pg_get_userbyid(datdba)::text"
    " FROM pg_control_system(), pg_database WHERE datname = current_database()"
)

_log: Final = logging.getLogger("hookline.store")


class PostgresDatabase:
    """A schema of a database."""

    def __init__(self, address: Address, *, clock: Clock, listener: Listener) -> None:
        self._address = address
        self._name = address.name
        self._clock = clock
        self._listener = listener
        self.membership = PostgresMembership(self)
        self._watch = Watch(self, listener, self.membership, clock)
        self._partitions = Partitions(address.session, lambda: self.membership.lease.id)
        self._writing: AsyncEngine | None = None
        self._reading: AsyncEngine | None = None
        self._readers: WeakSet[Any] = WeakSet()
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        """The connection of asyncpg below it."""
        self._pending = PendingCommits(self._name, listener)
        self.identities: Collection[str] = ()
        self._waiting: deque[Pending] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    async def open(self, node: NodeDescription) -> None:
        """See `Backend.open`. It may be opened again after it was closed, or couldn't be opened."""
        self._closing = False
        self.membership.begin()
        self._writing = self._address.engine(poolclass=NullPool)
        # Reads see what is committed when each statement begins, so that a transaction would only be two more messages.
        self._reading = self._address.engine(
            longest_query=LONG_LIMIT + LIMIT,
            pool_size=READERS,
            max_overflow=0,
            # An idle node uses the same session each time, so that only this one has to prepare statements.
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
        )
        self._readers = sessions_of(self._reading.sync_engine)
        renew_plans(self._reading.sync_engine)
        self.membership.node = node
        try:
            await self._told_if_slow(self._prepare_tables())
            await self._connect()
        except database_errors() as error:
            await self._release()
            raise self._address.failure("opened", error) from error
        except BaseException:
            await self._release()
            raise
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="hookline-postgres-writer")
        try:
            await self._watch.start(self._connect_to_listen)
        except BaseException:
            await self.close()
            raise

    async def _connect_to_listen(self) -> Any:
        """Open a session for wake-ups, which must not go through a pooler of transactions."""
        direct = self.membership.node.listen_url
        address = self._address if direct is None else Address(make_url(direct))
        return await address.session()

    def tell(self, flow_ids: Iterable[str]) -> None:
        if not self.membership.alone:
            self._watch.wake_ups.tell(flow_ids)

    async def _prepare_tables(self) -> None:
        async with self._connected(transactions=True) as connection:
            await connection.run_sync(self._prepare)
            await connection.close()

    def _prepare(self, connection: Connection) -> None:
        if self._address.schema is not None:
            with connection.begin():
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._address.schema)}")
        table_versions.upgrade(connection, self.membership.node.version)
        with connection.begin():
            server, database, *roles = connection.exec_driver_sql(_IDENTITY).one()
        self.identities = (
            f"postgresql:{server}",
            f"postgresql:{server}/{database}",
            *(f"postgresql:{server}@{role}" for role in roles),
        )

    async def _told_if_slow(self, work: Coroutine[Any, Any, None]) -> None:
        timer = asyncio.get_running_loop().call_later(
            _SLOW, _log.warning, "opening the database takes long: is a table locked, or are there many executions?"
        )
        try:
            await work
        finally:
            timer.cancel()

    async def _connect(self) -> AsyncConnection:
        """Return the connection that writes, under the lease of this node, which is registered if it has none.

        When it returns, no earlier transaction of this node is open, and none can become durable any more.
        """
        async with self._connected() as connection, asyncio.timeout(_TAKE_LIMIT):
            driver = (await connection.get_raw_connection()).driver_connection
            lease = await self.membership.joined(driver)
            self._driver = driver
            self._follow_time(lease)
        self._connection = connection
        self._pending.works()
        return connection

    def _follow_time(self, now: int) -> None:
        """Follow the database's clock. `now`: its time, in microseconds."""
        if isinstance(self._clock, FollowingClock):
            self._clock.follow(moment(now))

    @contextlib.asynccontextmanager
    async def _connected(self, *, transactions: bool = False) -> AsyncIterator[AsyncConnection]:
        """A new connection, which is closed after an error.

        Without `transactions`, those that are begun are sent as statements, together with the renewal of the lease.
        """
        assert self._writing is not None  # noqa: S101 - it is while the writer runs
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await self._writing.connect()
        try:
            if not transactions:
                connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
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
            for _ in range(_TURNS):
                await asyncio.sleep(0)
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
        async def work(connection: AsyncConnection) -> None:
            # Only now: until there is a connection, their callers may give them up.
            nonlocal group
            group = self._pending.begin(group)
            if group:
                await self._apply(connection, group)

        failure = await self._attempt(work)
        if isinstance(failure, StoreError):
            # Not those that are durable by themselves.
            self._pending.fail(group, failure)
        else:
            self._pending.works()
            if not self.membership.alone and any(pending.commit.concerns_all for pending in group):
                self._watch.wake_ups.tell((), more=True)

    async def _apply(self, connection: AsyncConnection, group: list[Pending]) -> None:
        """Apply commits, and tell their callers; repeat them if they met those of another node, and then one by one."""
        lease, commits = self.membership.lease, [pending.commit for pending in group]
        dialect = PostgresDialect(lease)
        for _ in range(_REPEATS):
            with contextlib.suppress(Conflict):
                self._pending.end(group, await self._transaction(connection, dialect, commits))
                return
        alone = PostgresDialect(lease, lock_limit=_LOCK_LIMIT_ALONE)
        for pending in group:
            # Each has its own result, whatever happens to those after it.
            self._pending.end([pending], await self._applied_alone(connection, alone, pending.commit))

    async def _applied_alone(
        self, connection: AsyncConnection, dialect: PostgresDialect, commit: Commit
    ) -> list[Failure | None]:
        """Apply a commit as soon as others let it. Its callers may have given up, but what it stores isn't lost; the
        time of all transactions together is limited by `_watched`."""
        while True:
            with contextlib.suppress(Conflict):
                return await self._transaction(connection, dialect, [commit])
            await asyncio.sleep(_CONFLICT_PAUSE)

    async def _transaction(
        self, connection: AsyncConnection, dialect: PostgresDialect, commits: list[Commit]
    ) -> list[Failure | None]:
        lease = self.membership.lease
        sent = lease.sending()
        try:
            failures = await connection.run_sync(apply, dialect, commits)
        except Conflict as error:
            conflict: Exception = error
        except database_errors() as error:
            if not met_others(error):
                raise
            conflict = error
        else:
            lease.renewed(sent)
            return failures
        # The renewal was rolled back, too, and the next try may wait as long.
        await lease.renew(self._driver)
        raise Conflict from conflict

    async def _attempt(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T | StoreError:
        """Return the result of work on the connection that writes, or the reason why it failed.

        What was begun on a connection that fails is in doubt until the next one has taken the lease over.
        """
        connection = self._connection
        try:
            if connection is None:
                connection = await self._connect()
        except Exception as error:  # noqa: BLE001 - the callers wait: whatever it is, it is theirs to hear
            failure = error if isinstance(error, StoreError) else self._address.failure("written", error)
            if isinstance(error, LeaseLost):
                self._lose_lease()
            self._pending.remain_in_doubt(failure)
            return failure
        try:
            return await self._watched(asyncio.ensure_future(work(connection)))
        except LeaseLost as error:
            # Nothing was written: the transaction was rolled back before its first change.
            await self._disconnect()
            self._lose_lease()
            return error
        except Exception as error:  # noqa: BLE001 - as above
            self._pending.begin_doubt()
            await self._disconnect()
            if isinstance(error, StoreError):
                return error
            return self._address.failure("written", error, in_doubt=not is_rolled_back(error))

    def _lose_lease(self) -> None:
        self._listener.lost()
        self.membership.lose()
        # What waits was decided by flows and credentials that may have been changed meanwhile.
        waiting = list(self._waiting)
        self._waiting.clear()
        self._pending.fail(waiting, LeaseLost())

    async def _beat(self, _connection: AsyncConnection) -> None:
        """Renew the lease, in a query that opens no transaction."""
        self._follow_time(await self.membership.lease.renew(self._driver))

    async def _watched(self, work: "asyncio.Future[T]") -> T:
        """Return the result of work on the session that writes; if it takes too long, end the session."""
        limit = LONG_LIMIT
        work.add_done_callback(retrieve)
        while not (await asyncio.wait((work,), timeout=limit))[0]:
            # It may still commit: the next connection waits for it when it takes the lease over.
            self._abort()
            limit = LIMIT
        return work.result()

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
        try:
            try:
                return await self._asked(engine, question)
            except DBAPIError as error:
                # The session may have ended since its last use. Checking that first would cost a round trip each time.
                if not error.connection_invalidated or self._reading is not engine:
                    raise
                return await self._asked(engine, question)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise self._address.failure("read", error) from error

    async def _asked(self, engine: AsyncEngine, question: Callable[[Connection], T]) -> T:
        await self._pending.settled()
        async with engine.connect() as connection:
            return await connection.run_sync(question)

    async def keep_partitions(self, longest: timedelta, before: datetime) -> PartitionUpkeep:
        try:
            return await self._partitions.keep(self._clock.now(), longest, before)
        except database_errors() as error:
            raise self._address.failure("partitioned", error) from error

    async def close(self) -> None:
        await self._watch.stop()
        if self._writer is not None and self._connection is not None:
            with contextlib.suppress(StoreError):
                await self._watch.leave()
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
