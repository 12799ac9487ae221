"""Tables, whose columns are looked up in the database, not declared."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, inspect, text, types
from sqlalchemy.exc import NoSuchTableError

from hookline.api import JsonValue, StepError
from hookline_sql.databases.mysql import is_mysql
from hookline_sql.databases.pools import Database
from hookline_sql.values import Digits, Unfit, for_column

_REMEMBERED: Final = 256


def table(database: Database, connection: Connection, name: str) -> Table:
    """Return the table with a name, or `schema.table`; it is looked up once. Raises StepError (`sql.table`)."""
    known = database.tables.get(name)
    if known is not None:
        return known
    schema, _, short = name.rpartition(".")
    with connection.begin():
        try:
            found = Table(
                short,
                MetaData(),
                schema=schema or None,
                autoload_with=connection,
                resolve_fks=False,
                listeners=[("column_reflect", _adapt)],
            )
            if is_mysql(connection.dialect):
                _find_json(connection, found)
        except NoSuchTableError:
            there = inspect(connection).get_table_names(schema=schema or None)
            raise StepError(f"there is no table {name!r}{_near(short, there)}", code="sql.table") from None
    if len(database.tables) >= _REMEMBERED:
        database.tables.clear()
    database.tables[name] = found
    return found


def _adapt(inspector: Inspector, _table: Table, column: Any) -> None:
    kind = column["type"]
    if isinstance(kind, types.JSON):
        kind.none_as_null = True
    elif inspector.dialect.name == "sqlite" and isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        column["type"] = Digits()


def table_for(database: Database, connection: Connection, name: str, rows: Iterable[Mapping[str, JsonValue]]) -> Table:
    """Return the table, looked up again if rows have an unknown column. Raises StepError (`sql.table`)."""
    target = table(database, connection, name)
    if any(column not in target.c for row in rows for column in row):
        # The table may have been altered since it was looked up.
        del database.tables[name]
        target = table(database, connection, name)
    return target


def converted(
    target: Table, rows: Sequence[Mapping[str, JsonValue]], *, first: int | None = None
) -> list[dict[str, Any]]:
    """Return the rows, converted for the table. Raises StepError (`sql.column`, `sql.value`) with row and column.

    `first`: the number of the first row; None if there is only one.
    """
    return [_converted(target, row, None if first is None else first + index) for index, row in enumerate(rows)]


def column_of(target: Table, name: str) -> Column[Any]:
    """Return a column by its name. Raises StepError (`sql.column`)."""
    column = target.c.get(name)
    if column is None:
        message = f"table {target.fullname!r} has no column {name!r}{_near(name, target.c.keys())}"
        raise StepError(message, code="sql.column")
    return column


def _converted(target: Table, row: Mapping[str, JsonValue], index: int | None) -> dict[str, Any]:
    where = "" if index is None else f"row {index}: "
    if not isinstance(row, dict):
        # The rows of a stream aren't checked before.
        raise StepError(f"{where}an object with the row's columns is needed", code="sql.value")
    made: dict[str, Any] = {}
    for name, value in row.items():
        column = target.c.get(name)
        if column is None:
            raise StepError(
                f"{where}table {target.fullname!r} has no column {name!r}{_near(name, target.c.keys())}",
                code="sql.column",
            )
        made[name] = value_for(column, value, where)
    return made


def value_for(column: Column[Any], value: JsonValue, where: str = "") -> Any:
    """Return a value, converted for the column. Raises StepError (`sql.value`)."""
    try:
        return for_column(value, column.type)
    except Unfit as error:
        raise StepError(f"{where}column {column.name!r} ({column.type}): {error}", code="sql.value") from None


def _find_json(connection: Connection, target: Table) -> None:
    """Find the JSON columns of MariaDB, which are texts with a check of their validity."""
    texts = [column.name for column in target.c if isinstance(column.type, types.String)]
    if not texts or not getattr(connection.dialect, "is_mariadb", False):
        return
    query = text(
        "SELECT check_clause FROM information_schema.check_constraints "
        "WHERE constraint_schema = coalesce(:place, database()) AND table_name = :name"
    )
    checks = set(connection.execute(query, {"place": target.schema, "name": target.name}).scalars())
    for name in texts:
        if f"json_valid(`{name}`)" in checks:
            target.c[name].type = types.JSON(none_as_null=True)


def _near(name: str, there: Sequence[str]) -> str:
    close = get_close_matches(name, there, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it has {', '.join(map(repr, there[:20]))}" if there else ""
