"""Converting a database's errors to errors of steps: caused by the data, a temporary state or the statement.

`sql.integrity` (a constraint is violated), `sql.unavailable` (locked, full, gone: can be retried), `sql.error`.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hookline.api import StepError
from hookline_sql.databases.address import shown

#: SQLSTATE classes, and single states, after which a retry can help: connection, rollback after a conflict, resources,
#: operator intervention, a lock that was not available.
_PASSING: Final = ("08", "40", "53", "57P", "55P03")
_PASSING_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
#: MySQL and MariaDB: a row that was changed meanwhile, too many connections, a full disk, a server that is stopping,
#: lock wait, deadlock, a user's limit, a killed connection, a server that is gone or can't be reached.
_PASSING_MYSQL: Final = frozenset(
    {1020, 1021, 1040, 1053, 1114, 1203, 1205, 1213, 1226, 1927, 2002, 2003, 2006, 2013, 4031}
)
#: MySQL and MariaDB: null, a duplicate, no default, a foreign key, a check; drivers classify some differently.
_INTEGRITY_MYSQL: Final = frozenset({1048, 1062, 1364, 1451, 1452, 1557, 1761, 3819, 4025})
DUPLICATE: Final = 1062
"""MySQL's and MariaDB's number for a duplicate key."""
_CLASS_PREFIX = re.compile(r"^<class '[^']*'>: ")
_LONGEST: Final = 500


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Raise a database's errors as StepError, without the statement's values in the message."""
    try:
        with driver_errors(url.get_driver_name()):
            yield
    except PoolTimeout as error:
        raise StepError(
            f"all connections to {shown(url)} are in use", code="sql.unavailable", retryable=True
        ) from error
    except SQLAlchemyError as error:
        raise failure(error, url) from error
    except OverflowError as error:
        raise StepError(f"a number is too large for {shown(url)}: {error}", code="sql.error") from error
    except OSError as error:
        # Drivers that connect by themselves pass on the system's errors.
        raise StepError(
            f"can't reach {shown(url)}: {error.strerror or type(error).__name__}",
            code="sql.unavailable",
            retryable=True,
        ) from error


@contextmanager
def driver_errors(driver: str) -> Iterator[None]:
    """Raise the errors of asyncpg that SQLAlchemy passes on as errors of SQLAlchemy.

    It passes on those of a connection that ends while it is set up, and those of cursors. Our own calls of the driver
    raise them, too.
    """
    if driver != "asyncpg":
        yield
        return
    # From an extra, which is installed if there is a connection; it has no type hints.
    import asyncpg  # type: ignore[import-untyped]

    try:
        yield
    except asyncpg.PostgresError as error:
        raise DBAPIError(None, None, error) from error
    except asyncpg.InterfaceError as error:
        raise InterfaceError(None, None, error) from error


def failure(error: SQLAlchemyError, url: URL) -> StepError:
    """Return the step's error for an error of SQLAlchemy."""
    code = kind(error)
    return StepError(f"{shown(url)}: {said(error, url)}", code=f"sql.{code}", retryable=code == "unavailable")


def kind(error: SQLAlchemyError) -> str:
    """Return the kind of an error: `integrity`, `unavailable` or `error`."""
    if not isinstance(error, DBAPIError):
        return "error"
    cause = error.orig
    # MySQL's numbers say more than its states, most of which are the general one.
    of_mysql = mysql_number(error)
    state = getattr(cause, "sqlstate", None) if of_mysql is None else None
    if isinstance(state, str):
        if state.startswith("23"):
            return "integrity"
        return "unavailable" if state.startswith(_PASSING) or error.connection_invalidated else "error"
    if isinstance(error, IntegrityError) or of_mysql in _INTEGRITY_MYSQL:
        return "integrity"
    if error.connection_invalidated or of_mysql in _PASSING_MYSQL:
        return "unavailable"
    number = getattr(cause, "sqlite_errorcode", None)
    if isinstance(number, int):
        return "unavailable" if number & 0xFF in _PASSING_SQLITE else "error"
    if of_mysql is not None:
        return "error"
    return "unavailable" if isinstance(error, OperationalError | InterfaceError) else "error"


def mysql_number(error: SQLAlchemyError) -> int | None:
    """Return the number that MySQL or MariaDB gives an error."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    first = cause.args[0] if cause is not None and cause.args else None
    return first if isinstance(first, int) else None


def said(error: SQLAlchemyError, url: URL) -> str:
    """Return the database's message in one line, without the statement and its values, which SQLAlchemy would add."""
    text = str(error.orig) if isinstance(error, StatementError) and error.orig is not None else str(error)
    text = " ".join(_CLASS_PREFIX.sub("", text).split())
    if url.password:
        text = text.replace(str(url.password), "***")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
