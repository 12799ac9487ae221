"""Changing a database exactly once, even if the engine dies between the change and its entry in the journal.

The step's idempotency key is inserted into the table `hookline_effects` of the same database, in the same transaction
and before anything else. So if there are two attempts, one waits for the other, and then finds the key and the result.

MySQL and MariaDB commit changes of the schema at once. There the key is committed before such a statement, and the
result after it. If the engine dies in between, it is known that the statement began, but not how it ended.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from hookline.api import JsonValue, StepError, decode_json, encode_json
from hookline_sql.databases.address import shown
from hookline_sql.databases.failures import kind, said
from hookline_sql.databases.mysql import Watch, engine_without_transactions, is_mysql
from hookline_sql.databases.pools import Database

Result: TypeAlias = dict[str, JsonValue]


def _table(**options: Any) -> Table:
    return Table(
        "hookline_effects",
        MetaData(),
        Column("key", String(64), primary_key=True),
        Column("result", Text),
        Column("recorded_at", DateTime, nullable=False, server_default=func.current_timestamp()),
        **options,
    )


EFFECTS: Final = _table()


def _made_for(connection: Connection) -> Table:
    """Return the table for a database: on MySQL, always with an engine that has transactions."""
    return _table(mysql_engine="InnoDB", mariadb_engine="InnoDB") if is_mysql(connection.dialect) else EFFECTS


class _Ended(Exception):
    """The work failed after it had ended its transaction."""


def once(database: Database, connection: Connection, key: str, work: Callable[[], Result], *, author: bool) -> Result:
    """Do the work in a transaction, or return its earlier result if it was done. Raises StepError (`sql.effects`).

    `author`: the work runs statements of the flow, which may end the transaction by themselves.
    """
    _make_table(database, connection)
    watched = author and is_mysql(connection.dialect)
    try:
        with connection.begin() as transaction:
            if _claim(database, connection, key):
                made = encode_json(_watched(connection, work) if watched else work()).decode()
                connection.execute(update(EFFECTS).where(EFFECTS.c.key == key).values(result=made))
                return _read(made)
            transaction.rollback()
    except _Ended as ended:
        # It had no effect, so another attempt may run.
        with connection.begin():
            connection.execute(delete(EFFECTS).where(EFFECTS.c.key == key))
        raise cast(Exception, ended.__cause__) from None
    with connection.begin():
        recorded = connection.execute(select(EFFECTS.c.result).where(EFFECTS.c.key == key)).one_or_none()
    if recorded is None:
        raise StepError(
            f"{shown(database.url)}: another attempt at this step is being rolled back",
            code="sql.unavailable",
            retryable=True,
        )
    if recorded.result is None:
        raise StepError(
            f"{shown(database.url)}: an attempt at this step began a statement that commits by itself, and its "
            "outcome isn't known; check the database, and to let the step run again, remove its row from "
            f"{EFFECTS.name}: key {key!r}",
            code="sql.effects",
            outcome_unknown=True,
        )
    return _read(recorded.result)


def _watched(connection: Connection, work: Callable[[], Result]) -> Result:
    watch = Watch(connection)
    try:
        result = work()
    except (DBAPIError, StepError) as error:
        if not connection.invalidated and watch.ended():
            raise _Ended from error
        raise
    watch.ended()
    return result


def check_engine(target: Table) -> None:
    """Raise StepError (`sql.effects`) for a table without transactions: it can't be changed exactly once."""
    engine = engine_without_transactions(target)
    if engine is not None:
        raise StepError(
            f"table {target.fullname!r} uses {engine}, which has no transactions: change it to InnoDB "
            f"(ALTER TABLE {target.fullname} ENGINE=InnoDB), or allow the step to take effect in part, or twice "
            'after a crash: "once": false',
            code="sql.effects",
        )


def _read(recorded: str) -> Result:
    # Decoded the first time too, so that a fraction is the same both times.
    return cast(Result, decode_json(recorded.encode(), exact=True))


def _claim(database: Database, connection: Connection, key: str) -> bool:
    try:
        connection.execute(insert(EFFECTS).values(key=key))
    except IntegrityError:
        return False
    except DBAPIError as error:
        if kind(error) == "error":
            # Most likely the table was dropped, or is read-only for this user.
            database.has_effects = False
            raise _rejected(database, connection, error) from error
        raise
    return True


def _make_table(database: Database, connection: Connection) -> None:
    if database.has_effects:
        return
    try:
        if not _there(connection):
            with connection.begin():
                _made_for(connection).create(connection)
    except DBAPIError as error:
        # If two create it at once, one of them fails, and the table exists.
        if kind(error) == "unavailable":
            raise
        if not _there(connection):
            raise _rejected(database, connection, error) from error
    database.has_effects = True


def _there(connection: Connection) -> bool:
    with connection.begin():
        return inspect(connection).has_table(EFFECTS.name)


def _rejected(database: Database, connection: Connection, error: DBAPIError) -> StepError:
    statement = " ".join(str(CreateTable(_made_for(connection)).compile(dialect=connection.dialect)).split())
    return StepError(
        f"{shown(database.url)} doesn't allow the table {EFFECTS.name}, which the step needs to take effect exactly "
        f"once ({said(error, database.url)}); either create it, writable for this user: {statement}; "
        'or allow the step to take effect again after a crash: "once": false',
        code="sql.effects",
    )
