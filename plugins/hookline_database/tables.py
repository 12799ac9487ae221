"""Inserting rows into a table as the database has it: its columns are looked up, not declared."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, inspect, types
from sqlalchemy.exc import NoSuchTableError

from hookline.api import JsonValue, StepError
from hookline_database.databases import Database
from hookline_database.values import Digits, Unfit, for_column, to_json

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


def converted(
    database: Database, connection: Connection, name: str, rows: Sequence[Mapping[str, JsonValue]]
) -> tuple[Table, list[dict[str, Any]]]:
    """The table and the rows as it takes them. Raises StepError (`sql.column`, `sql.value`), naming row and column."""
    target = table(database, connection, name)
    if any(column not in target.c for row in rows for column in row):
        # It may have been altered since it was looked up.
        del database.tables[name]
        target = table(database, connection, name)
    return target, [_converted(target, row, index if len(rows) > 1 else None) for index, row in enumerate(rows)]


def column_of(target: Table, name: str) -> Column[Any]:
    """A column by its name. Raises StepError (`sql.column`)."""
    column = target.c.get(name)
    if column is None:
        message = f"table {target.fullname!r} has no column {name!r}{_near(name, target.c.keys())}"
        raise StepError(message, code="sql.column")
    return column


def _converted(target: Table, row: Mapping[str, JsonValue], index: int | None) -> dict[str, Any]:
    where = "" if index is None else f"row {index}: "
    made: dict[str, Any] = {}
    for name, value in row.items():
        column = target.c.get(name)
        if column is None:
            raise StepError(
                f"{where}table {target.fullname!r} has no column {name!r}{_near(name, target.c.keys())}",
                code="sql.column",
            )
        try:
            made[name] = for_column(value, column.type)
        except Unfit as error:
            raise StepError(f"{where}column {name!r} ({column.type}): {error}", code="sql.value") from None
    return made


def insert(connection: Connection, target: Table, rows: Sequence[dict[str, Any]]) -> dict[str, JsonValue]:
    """Insert rows; gives `rowcount`, and `key` where there is one row and its table has a primary key."""
    statement = target.insert()
    if len(rows) == 1:
        inserted = connection.execute(statement, rows[0]).inserted_primary_key
        if inserted is None or not len(inserted):
            return {"rowcount": 1}
        return {"rowcount": 1, "key": {str(name): to_json(value) for name, value in inserted._mapping.items()}}
    # Rows that leave different columns to their defaults can't share a statement.
    for _, alike in groupby(rows, key=list):
        connection.execute(statement.inline(), list(alike))
    return {"rowcount": len(rows)}


def _near(name: str, there: Sequence[str]) -> str:
    close = get_close_matches(name, there, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it has {', '.join(map(repr, there[:20]))}" if there else ""
