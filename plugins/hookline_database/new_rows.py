"""The trigger `sql.rows`."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Column, Connection, Table, func, select

from hookline.api import Identity, Item, JsonValue, PollContext, Polled, StepError, encode_json, items_above
from hookline_database.actions import connector
from hookline_database.address import address
from hookline_database.databases import Database, Databases
from hookline_database.reading import read_only
from hookline_database.tables import column_of, table
from hookline_database.values import Unfit, for_column, to_json


@connector.poll(every="1m", name="rows")
async def new_rows(
    ctx: PollContext[Any],
    cursor: Any,
    table: Annotated[str, Identity(), Field(min_length=1, description="The table, or `schema.table`.")],
    column: Annotated[
        str,
        Identity(),
        Field(min_length=1, description="The column that grows: an id that counts up, or the time of a row's change."),
    ],
    url: Annotated[
        str | None,
        Identity(),
        Field(description="The database, as in sqlite:///books.db or postgresql://user@host/db; or the credential's."),
    ] = None,
    existing: Annotated[bool, Field(description="Whether rows that are there at the first look are new.")] = False,
    max_rows: Annotated[
        int, Field(ge=1, le=1000, description="How many rows are read at once; the rest follows.")
    ] = 500,
) -> Polled:
    """Starts an execution for each new row of a table.

    The message's body is the row, by column, as `sql.query` gives it. Rows are told apart by the primary key, and by
    the whole row where there is none. What is committed later than a row with a greater value is not seen: an id that
    is given out before a long transaction ends, for one; a column with the time of the commit has no such gap.
    """
    where = address(ctx, url)

    def work(database: Database, connection: Connection) -> Polled:
        target, grows = _target(database, connection, table, column)
        known = cursor
        with read_only(connection):
            if known is None and not existing:
                known = _newest(connection, target, grows)
                return Polled((), known)
            return _above(connection, target, grows, known, max_rows)

    return await ctx.resources.get(Databases).run(where, work)


def _target(database: Database, connection: Connection, name: str, column: str) -> tuple[Table, Column[Any]]:
    target = table(database, connection, name)
    if column not in target.c:
        # It may have been altered since it was looked up.
        del database.tables[name]
        target = table(database, connection, name)
    return target, column_of(target, column)


def _newest(connection: Connection, target: Table, grows: Column[Any]) -> dict[str, JsonValue]:
    """The cursor behind all rows there are."""
    greatest = connection.scalar(select(func.max(grows)))
    if greatest is None:
        return {"mark": None, "ids": []}
    rows = connection.execute(select(target).where(grows == greatest)).mappings()
    return {"mark": to_json(greatest), "ids": sorted(_id(target, grows, _row(row)) for row in rows)}


def _above(connection: Connection, target: Table, grows: Column[Any], cursor: Any, limit: int) -> Polled:
    mark, passed = (None, 0) if cursor is None else (cursor["mark"], len(cursor["ids"]))
    query = select(target).where(grows.is_not(None)).order_by(grows, *_keys(target, grows))
    if mark is not None:
        try:
            query = query.where(grows >= for_column(mark, grows.type))
        except Unfit as error:
            raise StepError(
                f"column {grows.name!r} ({grows.type}) has changed its type: {error}", code="sql.value"
            ) from None
    found = [_row(row) for row in connection.execute(query.limit(limit + passed + 1)).mappings()]
    return items_above(
        found,
        cursor,
        lambda row: row[grows.name],
        lambda row: Item(_id(target, grows, row), row),
        limit=limit,
    )


def _row(row: Any) -> dict[str, JsonValue]:
    return {str(name): to_json(value) for name, value in row.items()}


def _keys(target: Table, grows: Column[Any]) -> list[Column[Any]]:
    return [key for key in target.primary_key.columns if key is not grows]


def _id(target: Table, grows: Column[Any], row: dict[str, JsonValue]) -> str:
    """What tells a row, as it is now, from all others."""
    if not target.primary_key.columns:
        return encode_json(row).decode()
    return encode_json([row[grows.name], *(row[key.name] for key in _keys(target, grows))]).decode()
