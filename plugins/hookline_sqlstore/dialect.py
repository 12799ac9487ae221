"""Statements that write: one text for both databases, each over a relation `v` of rows.

Only `v` differs. PostgreSQL unnests one array for each column. SQLite gets a VALUES list whose number of rows is a
power of two, filled up with rows of nulls, which every statement ignores. So one prepared statement writes any number
of rows in one step of the database. A step of SQLite releases the interpreter's lock, and getting it back from a busy
event loop may take longer than the step, which `executemany` would pay for each row.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hookline_sqlstore.node_lease import LOCK_LIMIT, Lease, check_renewed, is_closed, run_in_driver

Row = tuple[Any, ...]

#: SQL about an execution: on PostgreSQL, and on SQLite, which one process uses, and which has no partitions.
_MARKS: Final = {
    # The lease of this node, which each of its transactions names first.
    "{me}": ("current_setting('hookline.lease')", "NULL"),
    # This node runs the execution, or has claimed it.
    "{mine}": ("executions.owner = current_setting('hookline.lease')", "TRUE"),
    # No other node runs it or has claimed it.
    "{free}": (
        "(executions.owner = current_setting('hookline.lease')"
        " OR (executions.owner IS NULL AND executions.state <> 'running'))",
        "TRUE",
    ),
    # It isn't in the history: PostgreSQL then leaves out the partitions of the history.
    "{live}": ("NOT executions.history", "TRUE"),
    "{line_live}": ("NOT line.history", "TRUE"),
}

LARGEST: Final = 256
"""The most rows in one statement on SQLite."""


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement over the rows of `v`. Statements are compared by identity."""

    name: str
    """The kind of change: running the statement passes the fault point with this name, if there is one."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names and PostgreSQL types of the columns of `v`; the first is never null."""
    text: str = ""
    """SQL with `{v}` in the place of a table, and the marks of `_MARKS`."""
    procedure: Callable[[Connection, Any], Any] | None = None
    """In place of a text: a function that writes one row and returns the result of its change."""
    counted: bool = True
    """Each row of `v` must change one row; otherwise its change was illegal."""
    repeated: bool = False
    """One statement may hold several rows of the same execution."""
    _by_size: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def for_sqlite(self, size: int) -> str:
        """Return the text for this number of rows."""
        text = self._by_size.get(size)
        if text is None:
            names = ", ".join(f"column{place} AS {name}" for place, (name, _) in enumerate(self.columns, 1))
            row = "(" + ", ".join("?" * len(self.columns)) + ")"
            values = ", ".join([row] * size)
            relation = f"(SELECT {names} FROM (VALUES {values})) AS v"  # noqa: S608 - our own names and marks
            text = self._by_size[size] = self._marked(1).replace("{v}", relation)
        return text

    def _marked(self, place: int) -> str:
        text = self.text
        for mark, meanings in _MARKS.items():
            text = text.replace(mark, meanings[place])
        return text

    @cached_property
    def for_postgres(self) -> str:
        """The text that takes an array for each column."""
        arrays = ", ".join(f"${place}::{type}[]" for place, (_, type) in enumerate(self.columns, 1))
        names = ", ".join(name for name, _ in self.columns)
        return self._marked(0).replace("{v}", f"unnest({arrays}) AS v({names})")


class Conflict(Exception):
    """The transaction met another one; it was rolled back, and may succeed if it is repeated."""


class Dialect(Protocol):
    """The execution of statements on one kind of database."""

    def transaction(self, connection: Connection) -> AbstractContextManager[object]:
        """Begin a transaction; it is committed at the end of the block, and rolled back after an error."""
        ...

    def lock_executions(self, connection: Connection, ids: Sequence[str]) -> None:
        """Lock the rows of executions until the end of the transaction, if several transactions run at a time."""
        ...

    def write(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> int:
        """Run a statement over rows; return the number of changed rows."""
        ...

    def read(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> list[Any]:
        """Run a statement over rows; return the selected rows."""
        ...

    def in_transaction(self, connection: Connection) -> bool:
        """Return true if the transaction still exists after an error."""
        ...

    def is_conflict(self, error: DBAPIError) -> bool:
        """Return true if the transaction met another one, and may succeed if it is repeated."""
        ...


class SqliteDialect:
    """Statements with VALUES lists."""

    def transaction(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin()

    def lock_executions(self, connection: Connection, ids: Sequence[str]) -> None:
        """Do nothing: one transaction at a time writes."""

    def write(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> int:
        # Core would spend more on compiling and binding a list of this length than SQLite on running it.
        return sum(
            connection.exec_driver_sql(*filled(statement, rows[start : start + LARGEST])).rowcount
            for start in range(0, len(rows), LARGEST)
        )

    def write_alone(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> bool:
        """Run a statement that changes all rows or none, as its own transaction; return false if a row is rejected, or
        if there is no room for all of them.

        Raises `sqlite3.Error` if the database can't be written.
        """
        # Outside of a transaction, one step of SQLite begins, writes and commits.
        driver = connection.connection.driver_connection
        if driver is None or not 0 < len(rows) <= LARGEST:
            return False
        try:
            driver.execute(*filled(statement, rows)).close()
        except (sqlite3.IntegrityError, sqlite3.DataError):
            return False
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                return False  # there may be room for some of the rows
            raise
        return True

    def read(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> list[Any]:
        return [
            found
            for start in range(0, len(rows), LARGEST)
            for found in connection.exec_driver_sql(*filled(statement, rows[start : start + LARGEST]))
        ]

    def in_transaction(self, connection: Connection) -> bool:
        # A full disk, a failing one or a lack of memory may end it; the driver's `commit` then does nothing, silently.
        driver = connection.connection.driver_connection
        return driver is not None and bool(driver.in_transaction)

    def is_conflict(self, error: DBAPIError) -> bool:
        return False


def filled(statement: Statement, rows: Sequence[Row]) -> tuple[str, Row]:
    """Return the text and the values for rows, filled up with nulls to the next power of two."""
    size = 1 << (len(rows) - 1).bit_length()
    values = [value for row in rows for value in row]
    values.extend([None] * ((size - len(rows)) * len(statement.columns)))
    return statement.for_sqlite(size), tuple(values)


#: A deadlock, transactions that can't be put in an order, and a lock that wasn't to be had in time.
_CONFLICTS: Final = frozenset({"40P01", "40001", "55P03"})
_LOCK: Final = "SELECT FROM executions WHERE NOT history AND id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"


class PostgresDialect:
    """Statements with arrays, in transactions that each begin by renewing the lease of this node."""

    def __init__(self, lease: Lease, *, lock_limit: float = LOCK_LIMIT) -> None:
        """`lock_limit`: the longest time, in seconds, for which a statement waits for a lock."""
        self._begin = lease.begin(lock_limit)

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        with connection.begin():
            try:
                check_renewed(run_in_driver(connection, self._begin))
                yield
                run_in_driver(connection, "COMMIT")
            except BaseException:
                # Errors of what is sent outside of SQLAlchemy don't tell it that the session is gone.
                if not (connection.invalidated or is_closed(connection)):
                    run_in_driver(connection, "ROLLBACK")
                raise

    def lock_executions(self, connection: Connection, ids: Sequence[str]) -> None:
        connection.exec_driver_sql(_LOCK, (list(ids),))

    def write(self, connection: Connection, statement: Statement, rows: Sequence[Row], more: Sequence[Row] = ()) -> int:
        """See `Dialect.write`. `more`: rows whose columns follow those of the statement as parameters."""
        return connection.exec_driver_sql(statement.for_postgres, (*_arrays(rows), *_arrays(more))).rowcount

    def read(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> list[Any]:
        return list(connection.exec_driver_sql(statement.for_postgres, _arrays(rows)))

    def in_transaction(self, connection: Connection) -> bool:
        return True  # an error undoes what came after the savepoint, and no more

    def is_conflict(self, error: DBAPIError) -> bool:
        return met_others(error)


def met_others(error: Exception) -> bool:
    """Return true if a transaction on PostgreSQL met others, and may succeed if it is repeated.

    The error may be one of the driver, as of what is sent outside of SQLAlchemy.
    """
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) in _CONFLICTS


def _arrays(rows: Sequence[Row]) -> Row:
    return tuple(list(column) for column in zip(*rows, strict=True))
