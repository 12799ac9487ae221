"""The peculiarities of MySQL and MariaDB: sessions, statements that commit implicitly, and values."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Dialect, Table
from sqlalchemy.exc import DBAPIError

from hookline.api import JsonValue, decode_json
from hookline_sql.databases.failures import mysql_number
from hookline_sql.values import to_json

#: Times in a session are in UTC; a value that doesn't fit its column is an error, and isn't cut off.
SESSION: Final = (
    "SET SESSION time_zone = '+00:00', "
    "SESSION sql_mode = TRIM(BOTH ',' FROM CONCAT_WS(',', @@SESSION.sql_mode, 'STRICT_TRANS_TABLES'))"
)
_RESET_CONNECTION: Final = 31
"""A command of the protocol, which the driver doesn't know."""
_SAVEPOINT: Final = "hookline_step"
_NO_SAVEPOINT: Final = 1305
#: Statements that make MySQL commit before and after them.
_COMMITTING: Final = re.compile(
    r"\s*+(?:/\*.*?\*/\s*+)*+(?:create(?!\s+temporary)|alter|drop(?!\s+temporary)|rename|truncate|grant|revoke|"
    r"analyze|optimize|repair|lock|unlock|begin|start|commit|set\s+autocommit|load\s+index|cache|flush|reset|install)\b",
    re.IGNORECASE | re.DOTALL,
)
#: A time with its offset, as in JSON.
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)")

#: The wire protocol's types of columns.
_TIMESTAMP: Final = 7
_TIME: Final = 11
_JSON: Final = 245


def is_mysql(dialect: Dialect) -> bool:
    """Return true for the dialects of MySQL and MariaDB."""
    return dialect.name in ("mysql", "mariadb")


async def as_new(driver: Any, database: str) -> None:
    """Forget a session's variables, temporary tables, locks and prepared statements; return to its database."""
    await driver._execute_command(_RESET_CONNECTION, b"")
    await driver._read_ok_packet()
    await driver.select_db(database)
    await driver.query(f"{SESSION}, NAMES utf8mb4, autocommit = 0")


def engine_without_transactions(table: Table) -> str | None:
    """Return a table's storage engine if it has no transactions; otherwise None."""
    for name in ("mysql_engine", "mariadb_engine"):
        engine = table.kwargs.get(name)
        if isinstance(engine, str) and engine.lower() in ("myisam", "aria", "memory", "csv", "archive", "merge"):
            return engine
    return None


def commits_by_itself(sql: str) -> bool:
    """Return true if a statement, judged by its first words, commits the transaction around it."""
    return _COMMITTING.match(sql) is not None


class Watch:
    """Notices if a flow's statement ended the transaction around it, as DDL does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")

    def ended(self) -> bool:
        """Return true if the transaction was ended. Called once."""
        try:
            self._connection.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except DBAPIError as error:
            if mysql_number(error) == _NO_SAVEPOINT:
                return True
            raise
        return False


def parameter(value: Any) -> Any:
    """Convert a text that is a time with an offset to UTC: MySQL would ignore the offset, or reject it."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return value
    return value


def readers(result: CursorResult[Any]) -> list[Callable[[Any], Any]]:
    """Return, for each column of a result, the function that converts its values to JSON."""
    described: Sequence[Any] = result.cursor.description if result.cursor is not None else ()
    return [_READERS.get(column[1], to_json) for column in described or ()]


def timestamp(value: Any) -> JsonValue:
    """Convert a timestamp, which is in UTC, as the session is."""
    made: JsonValue = to_json(value.replace(tzinfo=UTC) if isinstance(value, datetime) else value)
    return made


def time_of_day(value: Any) -> JsonValue:
    """Convert a time: MySQL's are between -838 and 838 hours, so drivers return them as differences."""
    if not isinstance(value, timedelta):
        made: JsonValue = to_json(value)
        return made
    sign, left = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, seconds = divmod(left.days * 86400 + left.seconds, 60)
    fraction = f".{left.microseconds:06}" if left.microseconds else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


def _json(value: Any) -> Any:
    return to_json(decode_json(value.encode(), exact=True)) if isinstance(value, str) else to_json(value)


_READERS: Final[dict[int, Callable[[Any], Any]]] = {_TIMESTAMP: timestamp, _TIME: time_of_day, _JSON: _json}
