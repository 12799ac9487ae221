"""Doing a thing to a database exactly once, also when the engine dies after it was done and before that is journalled.

The step's idempotency key is inserted into the table `hookline_effects` of the same database, in the same transaction
and before anything else. So of two attempts one waits for the other, and the later one finds the key and the result.
"""

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from hookline.api import JsonValue, StepError, decode_json, encode_json
from hookline_database.address import shown
from hookline_database.databases import Database
from hookline_database.failures import kind, said

Result: TypeAlias = dict[str, JsonValue]

EFFECTS: Final = Table(
    "hookline_effects",
    MetaData(),
    Column("key", String(64), primary_key=True),
    Column("result", Text),
    Column("recorded_at", DateTime, nullable=False, server_default=func.current_timestamp()),
)


def once(database: Database, connection: Connection, key: str, work: Callable[[], Result]) -> Result:
    """Do the work in a transaction, or give the result of when it was done. Raises StepError (`sql.effects`)."""
    _make_table(database, connection)
    with connection.begin() as transaction:
        if _claim(database, connection, key):
            made = encode_json(work()).decode()
            connection.execute(update(EFFECTS).where(EFFECTS.c.key == key).values(result=made))
            return _read(made)
        transaction.rollback()
    with connection.begin():
        recorded = connection.execute(select(EFFECTS.c.result).where(EFFECTS.c.key == key)).scalar_one_or_none()
    if recorded is None:
        raise StepError(
            f"{shown(database.url)}: another attempt at this step is being undone",
            code="sql.unavailable",
            retryable=True,
        )
    return _read(recorded)


def _read(recorded: str) -> Result:
    # The first time too, so that a fraction is the same the second time.
    return cast(Result, decode_json(recorded.encode(), exact=True))


def _claim(database: Database, connection: Connection, key: str) -> bool:
    try:
        connection.execute(insert(EFFECTS).values(key=key))
    except IntegrityError:
        return False
    except DBAPIError as error:
        if kind(error) == "error":
            # Most likely the table was dropped, or may be read and not written.
            database.has_effects = False
            raise _refused(database, error) from error
        raise
    return True


def _make_table(database: Database, connection: Connection) -> None:
    if database.has_effects:
        return
    try:
        if not _there(connection):
            with connection.begin():
                EFFECTS.create(connection)
    except DBAPIError as error:
        # Two that make it at once: one of them fails, and the table is there.
        if kind(error) == "unavailable":
            raise
        if not _there(connection):
            raise _refused(database, error) from error
    database.has_effects = True


def _there(connection: Connection) -> bool:
    with connection.begin():
        return inspect(connection).has_table(EFFECTS.name)


def _refused(database: Database, error: DBAPIError) -> StepError:
    statement = " ".join(str(CreateTable(EFFECTS)).split())
    return StepError(
        f"{shown(database.url)} doesn't let us keep the table {EFFECTS.name}, by which the step takes effect exactly "
        f"once ({said(error, database.url)}); either make it, writable for this user: {statement}; "
        'or let the step take effect again after a crash: "once": false',
        code="sql.effects",
    )
