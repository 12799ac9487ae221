"""Sessions of PostgreSQL that halt before each statement of a transaction, until a scheduler lets them go on.

The code under test isn't changed. `apply` runs in a greenlet of SQLAlchemy, in which a listener may await; so a
transaction halts before its begin, before each statement, and before its commit, and other sessions go on meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from hookline_sqlstore.dialect import PostgresDialect
from hookline_sqlstore.node_lease import Lease
from hookline_sqlstore.writing.commit_application import apply
from hookline_sqlstore.writing.prepared_commit import Commit

_LOCK_LIMIT = 60.0
"""Seconds; the scheduler decides how long a session waits for a lock, and a busy machine doesn't."""
_SOON = 0.005
"""Seconds until it is asked whether a session waits for a lock."""
_BLOCKED = "SELECT count(*) FROM unnest($1::int[]) AS session(pid) WHERE cardinality(pg_blocking_pids(session.pid)) > 0"
_ENDED = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1::int[]))"


class Session:
    """A session that does one thing at a time."""

    def __init__(self, connection: AsyncConnection, driver: Any, rested: asyncio.Event) -> None:
        """`rested` is set when it halts, or has ended what it did."""
        self._connection = connection
        self._rested = rested
        self.driver = driver
        """The connection of asyncpg."""
        self.pid: int = driver.get_server_pid()
        self.halted = False
        """It waits until `go` lets it send its next statement."""
        self._free = False
        self._turn = asyncio.Event()
        self._work: asyncio.Task[Any] | None = None

    @property
    def busy(self) -> bool:
        """True from `begin` until `result`."""
        return self._work is not None

    @property
    def done(self) -> bool:
        """True if there is a result to be fetched."""
        return self._work is not None and self._work.done()

    @property
    def moving(self) -> bool:
        """True while it does something, or waits for a lock."""
        return self._work is not None and not self._work.done() and not self.halted

    def apply(self, lease: Lease, commits: Sequence[Commit]) -> None:
        """Begin a transaction; it halts before its first statement."""
        self.begin(self._connection.run_sync(apply, _HaltingDialect(self, lease), commits))

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin something else, which doesn't halt."""
        assert self._work is None
        self._work = asyncio.ensure_future(work)
        self._work.add_done_callback(lambda _: self._rested.set())

    def go(self) -> None:
        """Let it send its next statement, if it has halted before one."""
        if self.halted:
            self.halted = False
            self._turn.set()

    def free(self) -> None:
        """Never let it halt again."""
        self._free = True
        self.go()

    def result(self) -> Any:
        """Return the result of what has ended, or raise its exception."""
        work, self._work = self._work, None
        assert work is not None
        return work.result()

    async def halt(self) -> None:
        if not self._free:
            self._turn.clear()
            self.halted = True
            self._rested.set()
            await self._turn.wait()

    async def close(self) -> None:
        """Close it; its session on the server has ended, or does nothing."""
        self.free()
        if self._work is not None:
            await asyncio.wait((self._work,))
            self._work.exception()
            self._work = None
        self.driver.terminate()
        await self._connection.invalidate()
        await self._connection.close()


class _HaltingDialect(PostgresDialect):
    """Halts before a transaction begins, and before it commits."""

    def __init__(self, session: Session, lease: Lease) -> None:
        super().__init__(lease, lock_limit=_LOCK_LIMIT)
        self._session = session

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        await_only(self._session.halt())
        with super().transaction(connection):
            yield
            await_only(self._session.halt())


class Sessions:
    """Opens sessions, and tells when all of them have come to rest."""

    def __init__(self, engine: AsyncEngine, watching: Any) -> None:
        """`watching`: a connection of asyncpg."""
        self._engine = engine
        self._watching = watching
        self._rested = asyncio.Event()
        self.open: list[Session] = []

    async def connect(self) -> Session:
        """Open a session."""
        connection = await self._engine.connect()
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        session = Session(connection, (await connection.get_raw_connection()).driver_connection, self._rested)
        sync = connection.sync_connection
        assert sync is not None

        @event.listens_for(sync, "before_cursor_execute")
        def halt(*_: Any) -> None:
            await_only(session.halt())

        self.open.append(session)
        return session

    async def settle(self) -> None:
        """Return when each session has halted, has ended what it did, or waits for a lock of one that has halted."""
        while moving := [session for session in self.open if session.moving]:
            self._rested.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SOON):
                    await self._rested.wait()
                continue
            blocked = await self._watching.fetchval(_BLOCKED, [session.pid for session in moving])
            if blocked == len(moving) and all(session.moving for session in moving):
                return

    async def end(self, sessions: Sequence[Session]) -> None:
        """Let the server end sessions, as it ends those that are idle in a transaction; what they do next fails."""
        pids = [session.pid for session in sessions]
        await self._watching.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS session(pid)", pids)
        while not await self._watching.fetchval(_ENDED, pids):
            pass
        for session in sessions:
            session.free()

    async def close(self, session: Session) -> None:
        """Close a session."""
        self.open.remove(session)
        await session.close()

    async def close_all(self) -> None:
        """End and close all."""
        await self.end(self.open)
        while self.open:
            await self.open.pop().close()
