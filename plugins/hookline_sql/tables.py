"""Tables as the database has them: their columns are looked up, not declared."""

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
    """The table of that name, `schema.table` too; looked up once. Raises StepError (`sql.table`)."""
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
    """The table, looked up anew where rows have a column that it hadn't. Raises StepError (`sql.table`)."""
    target = table(database, connection, name)
    if any(column not in target.c for row in rows for column in row):
        # It may have been altered since it was looked up.
        del database.tables[name]
        target = table(database, connection, name)
    return target


def converted(
    target: Table, rows: Sequence[Mapping[str, JsonValue]], *, first: int | None = None
) -> list[dict[str, Any]]:
    """The rows as the table takes them. Raises StepError (`sql.column`, `sql.value`), naming row and column.

    `first`: the place of the first of them; None where there is one.
    """
    return [_converted(target, row, None if first is None else first + index) for index, row in enumerate(rows)]


def column_of(target: Table, name: str) -> Column[Any]:
    """A column by its name. Raises StepError (`sql.column`)."""
    column = target.c.get(name)
    if column is None:
        message = f"table {target.fullname!r} has no column {name!r}{_near(name, target.c.keys())}"
        raise StepError(message, code="sql.column")
    return column


def _converted(target: Table, row: Mapping[str, JsonValue], index: int | None) -> dict[str, Any]:
    where = "" if index is None else f"row {index}: "
    if not isinstance(row, dict):
        # The rows of a stream come as they are.
        raise StepError(f"{where}an object is needed, with the row's columns", code="sql.value")
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
    """A value as the column takes it. Raises StepError (`sql.value`)."""
    try:
        return for_column(value, column.type)
    except Unfit as error:
        raise StepError(f"{where}column {column.name!r} ({column.type}): {error}", code="sql.value") from None


def _find_json(connection: Connection, target: Table) -> None:
    """MariaDB's JSON is a text that has to be valid, and is told from others by that."""
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
