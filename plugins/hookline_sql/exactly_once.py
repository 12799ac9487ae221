"""Doing a thing to a database exactly once, also when the engine dies after it was done and before that is journalled.

The step's idempotency key is inserted into the table `hookline_effects` of the same database, in the same transaction
and before anything else. So of two attempts one waits for the other, and the later one finds the key and the result.

MySQL and MariaDB commit at once what changes their schema. There the key is committed before such a statement, and the
result after it; what died in between is known to have begun, and not what became of it.
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
    """The same as a database makes it: on MySQL with transactions, whatever the server does by default."""
    return _table(mysql_engine="InnoDB", mariadb_engine="InnoDB") if is_mysql(connection.dialect) else EFFECTS


class _Ended(Exception):
    """The work failed, and had ended its transaction before."""


def once(database: Database, connection: Connection, key: str, work: Callable[[], Result], *, author: bool) -> Result:
    """Do the work in a transaction, or give the result of when it was done. Raises StepError (`sql.effects`).

    `author`: the work is statements of an author's, which may end the transaction by themselves.
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
        # Nothing came of it: another attempt may try.
        with connection.begin():
            connection.execute(delete(EFFECTS).where(EFFECTS.c.key == key))
        raise cast(Exception, ended.__cause__) from None
    with connection.begin():
        recorded = connection.execute(select(EFFECTS.c.result).where(EFFECTS.c.key == key)).one_or_none()
    if recorded is None:
        raise StepError(
            f"{shown(database.url)}: another attempt at this step is being undone",
            code="sql.unavailable",
            retryable=True,
        )
    if recorded.result is None:
        raise StepError(
            f"{shown(database.url)}: an attempt at this step began a statement that commits by itself, and it isn't "
            f"known what became of it; see for yourself, and to let the step run again remove its row from "
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
    """Raise StepError (`sql.effects`) for a table whose rows can't be taken back, so that nothing holds once."""
    engine = engine_without_transactions(target)
    if engine is not None:
        raise StepError(
            f"table {target.fullname!r} is kept by {engine}, which has no transactions: make it InnoDB "
            f"(ALTER TABLE {target.fullname} ENGINE=InnoDB), or let the step take effect in part, and again after a "
            'crash: "once": false',
            code="sql.effects",
        )


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
        # Two that make it at once: one of them fails, and the table is there.
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
        f"{shown(database.url)} doesn't let us keep the table {EFFECTS.name}, by which the step takes effect exactly "
        f"once ({said(error, database.url)}); either make it, writable for this user: {statement}; "
        'or let the step take effect again after a crash: "once": false',
        code="sql.effects",
    )
