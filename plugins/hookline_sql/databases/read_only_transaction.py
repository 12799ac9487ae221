"""A read-only transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hookline.api import StepError
from hookline_sql.databases.failures import mysql_number
from hookline_sql.databases.mysql import is_mysql

_READ_ONLY_MYSQL: Final = 1792


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """Read in a transaction that is rolled back; if the database can, it rejects writes meanwhile.

    Raises StepError (`sql.read_only`) for a statement that tries to write.
    """
    sqlite = connection.dialect.name == "sqlite"
    options = {"postgresql_readonly": True} if connection.dialect.name == "postgresql" else {}
    connection.execution_options(**options)
    with connection.begin() as transaction:
        if is_mysql(connection.dialect):
            connection.exec_driver_sql("START TRANSACTION READ ONLY")
        if sqlite:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        try:
            yield
        except DBAPIError as error:
            if _rejected_to_write(error):
                raise StepError("sql.query only reads; use sql.execute to change data", code="sql.read_only") from error
            raise
        finally:
            if sqlite and not connection.invalidated:
                connection.exec_driver_sql("PRAGMA query_only = OFF")
        transaction.rollback()


def _rejected_to_write(error: DBAPIError) -> bool:
    cause = error.orig
    number = getattr(cause, "sqlite_errorcode", None)
    return (
        getattr(cause, "sqlstate", None) == "25006"
        or mysql_number(error) == _READ_ONLY_MYSQL
        or (isinstance(number, int) and number & 0xFF == sqlite3.SQLITE_READONLY)
    )
