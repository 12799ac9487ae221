"""Putting rows into a table: rows that exist are an error, updated or kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, inspect, select
from sqlalchemy.exc import IntegrityError

from hookline.api import JsonValue, StepError
from hookline_sql.databases.failures import DUPLICATE, mysql_number
from hookline_sql.databases.mysql import is_mysql
from hookline_sql.tables import column_of
from hookline_sql.values import to_json

Row = dict[str, Any]
"""The values of a row by column, converted for the table."""

_ON_CONFLICT: Final = ("postgresql", "sqlite")
"""Dialects whose INSERT has ON CONFLICT."""


def _statement(connection: Connection, target: Table) -> Any:
    """Return an INSERT of the connection's dialect, which is imported late."""
    own = import_module(f"sqlalchemy.dialects.{'mysql' if is_mysql(connection.dialect) else connection.dialect.name}")
    return own.insert(target)


def insert(connection: Connection, target: Table, rows: Sequence[Row]) -> int:
    """Insert rows."""
    for _, alike in groupby(rows, key=list):
        # Rows that use the defaults of different columns can't share a statement.
        connection.execute(target.insert().inline(), list(alike))
    return len(rows)


def insert_one(connection: Connection, target: Table, row: Row) -> dict[str, JsonValue]:
    """Insert a row; return `rowcount`, and `key` if the table has a primary key."""
    inserted = connection.execute(target.insert(), row).inserted_primary_key
    if inserted is None or not len(inserted):
        return {"rowcount": 1}
    return {"rowcount": 1, "key": {str(name): to_json(value) for name, value in inserted._mapping.items()}}


@dataclass(frozen=True, slots=True)
class Upsert:
    """The way in which rows are inserted or updated."""

    target: Table
    key: tuple[str, ...]
    """The columns that identify a row."""
    columns: tuple[str, ...] | None
    """The columns to update in a row that exists; None for all given ones besides the key."""
    keep: bool
    """A row that exists stays as it is."""
    others: tuple[frozenset[str], ...]
    """The other unique constraints."""

    def put(self, connection: Connection, rows: Sequence[Row], *, first: int | None = None) -> int:
        """Insert or update the rows; return the number of those that changed. Raises StepError (`sql.key`).

        `first`: the number of the first row; None if there is only one.
        """
        count = 0
        for index, row in enumerate(rows):
            self._check(row, "the row" if first is None else f"row {first + index}")
        for listed, alike in groupby(rows, key=list):
            names, some = tuple(listed), list(alike)
            changed = self._changed(names)
            if is_mysql(connection.dialect):
                count += self._put_mysql(connection, some, names, changed)
            elif changed:
                statement = _statement(connection, self.target)
                statement = statement.on_conflict_do_update(
                    index_elements=list(self.key), set_={name: statement.excluded[name] for name in changed}
                )
                connection.execute(statement.inline(), some)
                count += len(some)
            else:
                statement = _statement(connection, self.target)
                statement = statement.on_conflict_do_nothing(index_elements=list(self.key))
                # The returned rows are the new ones.
                there = connection.execute(statement.returning(self.target.c[self.key[0]]), some)
                count += len(there.all())
        return count

    def _check(self, row: Row, which: str) -> None:
        for name in self.key:
            if name not in row:
                raise StepError(f"{which} has no {name!r}, which is part of the key", code="sql.key")
            if row[name] is None:
                raise StepError(
                    f"{which}: {name!r} is null, and null never equals null: the row would be inserted each time",
                    code="sql.key",
                )

    def _changed(self, names: Sequence[str]) -> tuple[str, ...]:
        if self.keep:
            return ()
        wanted = names if self.columns is None else self.columns
        return tuple(name for name in wanted if name in names and name not in self.key)

    def _put_mysql(
        self, connection: Connection, rows: Sequence[Row], names: Sequence[str], changed: Sequence[str]
    ) -> int:
        # It doesn't say by which key a row exists, and would update another row.
        if changed and not any(self._may_be_hit(other, names) for other in self.others):
            statement = _statement(connection, self.target)
            statement = statement.on_duplicate_key_update({name: statement.inserted[name] for name in changed})
            connection.execute(statement.inline(), list(rows))
            return len(rows)
        return sum(self._put_one(connection, row, changed) for row in rows)

    def _may_be_hit(self, other: frozenset[str], names: Sequence[str]) -> bool:
        """Return true if another row may match in a unique constraint; null and new numbers never do."""
        left = [self.target.c[name] for name in other if name not in names]
        return all(column.server_default is not None and column.autoincrement is not True for column in left)

    def _put_one(self, connection: Connection, row: Row, changed: Sequence[str]) -> int:
        try:
            connection.execute(self.target.insert().inline(), row)
        except IntegrityError as error:
            if mysql_number(error) != DUPLICATE:
                raise
            if changed:
                done = self.target.update().where(*self._same(row)).values({name: row[name] for name in changed})
                if connection.execute(done).rowcount:
                    return 1
            elif connection.execute(self._there(row)).first() is not None:
                return 0
            # Another row has a unique value of this one.
            raise
        return 1

    def _there(self, row: Row) -> Any:
        # In its present state, not in that of the beginning of the transaction.
        return select(self.target.c[self.key[0]]).where(*self._same(row)).with_for_update(read=True)

    def _same(self, row: Row) -> Iterator[Any]:
        return (self.target.c[name] == row[name] for name in self.key)

    def key_of(self, connection: Connection, row: Row) -> dict[str, JsonValue]:
        """Return the primary key of a row that exists; empty if the table has none."""
        columns = list(self.target.primary_key.columns)
        if not columns:
            return {}
        if all(column.name in self.key for column in columns):
            found: Any = {column.name: row[column.name] for column in columns}
        else:
            found = connection.execute(select(*columns).where(*self._same(row))).mappings().one()
        return {str(name): to_json(value) for name, value in found.items()}


def upsert(
    connection: Connection, target: Table, key: Sequence[str] | None, update: Sequence[str] | None, *, keep: bool
) -> Upsert:
    """Return the upsert for a table, by the primary key or another unique one. Raises StepError (`sql.key`)."""
    if not is_mysql(connection.dialect) and connection.dialect.name not in _ON_CONFLICT:
        raise StepError(
            f"sql.upsert supports PostgreSQL, MySQL, MariaDB and SQLite, not {connection.dialect.name}; use its MERGE "
            "in sql.execute",
            code="sql.upsert",
        )
    for name in (*(key or ()), *(update or ())):
        column_of(target, name)
    with connection.begin():
        unique = list(_unique(connection, target))
    wanted = tuple(key) if key else tuple(column.name for column in target.primary_key.columns)
    if not wanted:
        message = f"table {target.fullname!r} has no primary key; give the columns that identify a row as `key`"
        raise StepError(message, code="sql.key")
    if frozenset(wanted) not in unique:
        there = "; ".join(", ".join(sorted(one)) for one in unique) or "nothing"
        raise StepError(
            f"`key` ({', '.join(wanted)}) isn't unique in table {target.fullname!r}, so it can't identify a row; "
            f"unique are: {there}",
            code="sql.key",
        )
    others = tuple(one for one in unique if one != frozenset(wanted))
    return Upsert(target, wanted, None if update is None else tuple(update), keep, others)


def _unique(connection: Connection, target: Table) -> Iterator[frozenset[str]]:
    """Return the sets of columns that are unique in the whole table."""
    columns: Sequence[Column[Any]] = list(target.primary_key.columns)
    if columns:
        yield frozenset(column.name for column in columns)
    look = inspect(connection)
    for constraint in look.get_unique_constraints(target.name, target.schema):
        yield frozenset(constraint["column_names"])
    # SQLite's constraints are parsed from SQL, and not all of them are found; but each has an index.
    options: dict[str, Any] = {"include_auto_indexes": True} if connection.dialect.name == "sqlite" else {}
    for index in look.get_indexes(target.name, target.schema, **options):
        names = [name for name in index["column_names"] if name is not None]
        partial = any(option.endswith("_where") for option in index.get("dialect_options", {}))
        if index["unique"] and not partial and len(names) == len(index["column_names"]):
            yield frozenset(names)
