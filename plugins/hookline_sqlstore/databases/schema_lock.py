"""The lock by which one server has a schema of PostgreSQL.

The session that writes holds it. PostgreSQL frees it when that session has ended in any way, with its transaction.
If a process gets the lock, nothing of the previous holder can still become durable.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hookline.api import StoreError

PATIENCE_FOR_DEAD: Final = 30.0
"""Seconds for which a server that starts waits for the session of one that seems to be dead."""
_POLL: Final = 0.25
_SILENT: Final = 3.0
"""Seconds without a sign of life until the wait is logged; a server that runs gives one every 2 seconds."""

_HOLDER: Final = text(
    "SELECT activity.pid, activity.client_addr, activity.backend_start, activity.state_change"
    " FROM pg_locks AS locks JOIN pg_stat_activity AS activity ON activity.pid = locks.pid"
    " WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1"
    " AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((locks.classid::bigint << 32) | locks.objid::bigint) = :key"
)
_ME: Final = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END: Final = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :begun")

_log: Final = logging.getLogger("hookline.store")


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the server, which its process id alone doesn't name for ever."""

    pid: int
    begun: datetime


class SchemaLock:
    """The lock of one schema, and the last session of this process that had it."""

    def __init__(self, name: str, schema: str | None) -> None:
        self._name = name
        self._schema = schema
        self.session: Session | None = None

    async def take(self, connection: AsyncConnection, *, wait: float = 0.0) -> None:
        """Take the lock for a connection. Raises StoreError if another server has it.

        A session that gives no sign of life may belong to a host that is gone; `wait` is the number of seconds until
        PostgreSQL has noticed that. The previous session of this process is ended.
        """
        where = self._schema or await connection.scalar(text("SELECT current_schema()")) or ""
        # The lock is the database's, the tables are the schema's.
        key = int.from_bytes(hashlib.sha256(f"hookline {where}".encode()).digest()[:8], signed=True)
        loop = asyncio.get_running_loop()
        until, first, told = loop.time() + wait, None, False
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            holder = (await connection.execute(_HOLDER, {"key": key})).one_or_none()
            await connection.commit()
            if holder is not None and self._is_mine(holder):
                await end_session(connection, Session(holder.pid, holder.backend_start))
                until = max(until, loop.time() + PATIENCE_FOR_DEAD)
            elif holder is not None:
                first = first or holder
                if wait and not told and loop.time() >= until - wait + _SILENT:
                    told = True
                    self._tell_waiting(holder, where, wait)
            if loop.time() >= until or (holder is not None and first is not None and _lives(first, holder)):
                raise self._taken(holder, where)
            await asyncio.sleep(_POLL)
        me = (await connection.execute(_ME)).one()
        self.session = Session(me.pid, me.backend_start)
        await connection.commit()

    def _tell_waiting(self, holder: Any, where: str, wait: float) -> None:
        # The command line prints it to stderr, and the server to its log.
        _log.warning(
            "another session has the database, and gives no sign of life; waiting for %g s at most until it has ended: "
            "%s, schema %s, session %s from %s",
            wait,
            self._name,
            where,
            holder.pid,
            holder.client_addr,
        )

    def _is_mine(self, holder: Any) -> bool:
        return self.session == Session(holder.pid, holder.backend_start)

    def _taken(self, holder: Any, where: str) -> StoreError:
        whose = "another process" if holder is None else f"session {holder.pid} (from {holder.client_addr})"
        silent = (
            ""
            if holder is None
            else f"; if its server is gone for good, end its session: SELECT pg_terminate_backend({holder.pid})"
        )
        return StoreError(
            f"{whose} has {self._name}, schema {where}, and one server serves it: use that server's API, stop it, or "
            f"use another schema (?schema=name){silent}"
        )


def _lives(before: Any, now: Any) -> bool:
    """Return true if the holder has done something in between, or if another one has taken the lock."""
    return (before.pid, before.backend_start, before.state_change) != (now.pid, now.backend_start, now.state_change)


async def end_session(connection: AsyncConnection, session: Session) -> None:
    """End a session, if it still exists."""
    await connection.execute(_END, {"pid": session.pid, "begun": session.begun})
    await connection.commit()
