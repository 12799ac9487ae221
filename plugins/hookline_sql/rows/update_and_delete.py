"""Changing and removing the rows of a table that have given values."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table

from hookline.api import JsonValue, StepError
from hookline_sql.tables import column_of, value_for


def update(
    connection: Connection, target: Table, where: Mapping[str, JsonValue], values: Mapping[str, JsonValue]
) -> int:
    """Set values of the rows; return their number. Raises StepError (`sql.column`, `sql.value`)."""
    made = {name: value_for(column_of(target, name), value) for name, value in values.items()}
    return connection.execute(target.update().where(*_conditions(target, where)).values(made)).rowcount


def delete(connection: Connection, target: Table, where: Mapping[str, JsonValue]) -> int:
    """Remove the rows; return their number. Raises StepError (`sql.column`, `sql.value`)."""
    return connection.execute(target.delete().where(*_conditions(target, where))).rowcount


def _conditions(target: Table, where: Mapping[str, JsonValue]) -> Iterator[Any]:
    if not where:
        raise StepError("`where` is empty, which would select all rows; use sql.execute for that", code="sql.where")
    for name, value in where.items():
        column = column_of(target, name)
        if isinstance(value, list):
            yield column.in_([value_for(column, item) for item in value])
        elif value is None:
            yield column.is_(None)
        else:
            yield column == value_for(column, value)
