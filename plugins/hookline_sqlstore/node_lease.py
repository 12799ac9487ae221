"""The lease of a node: its row in `nodes`, which each of its transactions locks and renews first.

So nothing that a node writes can become durable after another node has taken over: that changes the row, and waits for
a transaction that has locked it.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection

from hookline.api import StoreError
from hookline.api_storage import NodeDescription, StoreAway, StoreTooNew, steady_seconds
from hookline_sqlstore.copy_mark import COPYING, INCOMPLETE
from hookline_sqlstore.table_compatibility import release, release_problem

DURATION: Final = 10.0
"""Seconds for which a renewal holds."""
LOCK_LIMIT: Final = 5.0
"""The longest time, in seconds, for which a statement waits for a lock."""
_IDLE_LIMIT: Final = 5
"""Seconds after which the server ends a session that does nothing in an open transaction."""
_STATEMENT_LIMIT: Final = 30
REPLAN: Final = 5.0
"""Seconds after which a session makes its plans anew. PostgreSQL keeps a plan until a table is analyzed. By then, the
queue may have a thousand times as many rows, so that the index that was chosen for a few has to be read as a whole."""

NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""SQL: microseconds since 1970, by the database's clock."""
_UNTIL: Final = f"{NOW} + {int(DURATION * 1_000_000)}"
#: A lease that has run out goes on if nobody has taken over, and if no change was made that this node doesn't know:
#: such changes are answered when each node has adopted them, or has lost its lease.
_HOLDS: Final = f"gone_at IS NULL AND (until > {NOW} OR adopted = (SELECT changes FROM cluster WHERE id = 1))"  # noqa: S608 - our own names

_REGISTER: Final = (
    "INSERT INTO nodes (lease, name, session, process, host, role, version, started_at, until, clock_ahead,"  # noqa: S608 - our own names
    " accepts_without_lease, queue)"
    " SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text,"
    f" {NOW}, {_UNTIL}, $8::bigint - {NOW}, $9::bigint, $10::text WHERE NOT {COPYING}"
    " AND NOT EXISTS (SELECT 1 FROM cluster WHERE string_to_array(oldest_release, '.')::int[] > $11::int[])"
    f" RETURNING {NOW}"
)
#: Once a node has another lease, it accepts nothing under the one before.
_REPLACE: Final = "UPDATE nodes SET accepts_without_lease = 0 WHERE lease = $1"
_CONTINUE: Final = (
    f"UPDATE nodes SET session = $3, until = {_UNTIL} WHERE lease = $1 AND session = $2 AND {_HOLDS} RETURNING {NOW}"  # noqa: S608 - our own names
)
_RENEW: Final = (
    f"UPDATE nodes SET until = {_UNTIL}, clock_ahead = $3::bigint - {NOW}"  # noqa: S608 - as above
    f" WHERE lease = $1 AND session = $2 AND {_HOLDS} RETURNING {NOW}"
)


class LeaseLost(StoreAway):
    """Another node may have taken over: this one drops what it runs, and registers anew."""

    def __init__(self) -> None:
        super().__init__("this node has lost its lease of the database; it drops what it runs, and registers anew")


class Lease:
    """A lease that this process has, or had. All times of the database are microseconds since 1970."""

    def __init__(self, node: NodeDescription, steady: Callable[[], float] = steady_seconds) -> None:
        self.node = node
        self.id = f"{node.name}.{secrets.token_hex(6)}"
        self._session = secrets.token_hex(8)
        self._steady = steady
        self._until = 0.0
        self._planned_at = steady()

    @property
    def held(self) -> bool:
        """True while no other node can have taken over, as far as this process's own clock tells."""
        return self._steady() < self._until

    def sending(self) -> float:
        """Return the time to give to `renewed`: the lease counts from before the renewal was sent."""
        return self._steady()

    def renewed(self, sent: float) -> None:
        """Note that a renewal is durable."""
        self._until = max(self._until, sent + DURATION)

    def lost(self) -> None:
        """Note that it doesn't hold any more."""
        self._until = 0.0

    def begin(self, lock_limit: float) -> str:
        """The statements that begin a transaction, to be sent as one message. The last one renews the lease."""
        now, replan = self._steady(), ""
        if now - self._planned_at > REPLAN:
            self._planned_at, replan = now, "DISCARD PLANS; "
        return (
            f"{replan}BEGIN; SET LOCAL hookline.lease = {_quoted(self.id)};"  # noqa: S608 - our own names, quoted
            f" SET LOCAL lock_timeout = '{round(lock_limit * 1000)}ms';"
            f" SET LOCAL statement_timeout = '{_STATEMENT_LIMIT}s';"
            f" SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_LIMIT}s';"
            # The table of executions that have not ended is often so small that a plan would read all of it. Plans are
            # kept, and it may be a hundred times as large a moment later.
            " SET LOCAL enable_seqscan = off; SET LOCAL jit = off;"
            f" UPDATE nodes SET until = {_UNTIL}"
            f" WHERE lease = {_quoted(self.id)} AND session = {_quoted(self._session)} AND {_HOLDS}"
        )

    async def register(self, driver: Any, *, instead_of: str | None = None) -> int:
        """Write the row of a new lease; return the database's time. `driver`: a connection of asyncpg.

        `instead_of`: the lease that this process has lost.

        Raises StoreError while another database is copied into the tables, and StoreTooNew if a newer release has
        changed them so that this one can't use them any more. Copying locks the table of nodes, and so does a migration
        that adds to it. Then a node that has read the tables before waits here until they have ended.
        """
        sent, node = self.sending(), self.node
        alone = round(node.accepts_without_lease * 1_000_000)
        row = (
            self.id,
            node.name,
            self._session,
            node.process,
            node.host,
            node.role,
            node.version,
            _here(),
            alone,
            node.queue,
        )
        now: int | None = await driver.fetchval(_REGISTER, *row, release(node.version))
        if now is None:
            oldest = await driver.fetchval("SELECT oldest_release FROM cluster")
            reason = release_problem(oldest, node.version)
            raise StoreError(INCOMPLETE) if reason is None else StoreTooNew(reason)
        if instead_of is not None:
            await driver.execute(_REPLACE, instead_of)
        self.renewed(sent)
        return now

    async def take_session(self, driver: Any) -> int:
        """Let a new session continue the lease; return the database's time.

        Returns when no transaction of the session before is open; whatever of it still arrives changes nothing. Raises
        LeaseLost.
        """
        sent, before = self.sending(), self._session
        after = secrets.token_hex(8)
        now: int | None = await driver.fetchval(_CONTINUE, self.id, before, after)
        if now is None:
            raise LeaseLost
        self._session = after
        self.renewed(sent)
        return now

    async def renew(self, driver: Any) -> int:
        """Renew the lease outside of a transaction; return the database's time. Raises LeaseLost."""
        sent = self.sending()
        now: int | None = await driver.fetchval(_RENEW, self.id, self._session, _here())
        if now is None:
            raise LeaseLost
        self.renewed(sent)
        return now


def check_renewed(tag: str) -> None:
    """Check what the driver has returned for `Lease.begin`. Raises LeaseLost."""
    if tag != "UPDATE 1":
        raise LeaseLost


def run_in_driver(connection: Connection, text: str) -> str:
    """Send statements without values to asyncpg in one message; return the tag of the last one.

    Raises the errors of the driver.
    """
    dbapi: Any = connection.connection.dbapi_connection
    tag: str = dbapi.run_async(lambda driver: driver.execute(text))
    return tag


def is_closed(connection: Connection) -> bool:
    """Return true if the session of asyncpg is gone."""
    driver: Any = connection.connection.driver_connection
    return driver is None or bool(driver.is_closed())


def _here() -> int:
    """The time of this host's clock, to be compared with the database's."""
    return time.time_ns() // 1000


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
