"""The trigger `sql.rows`."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Column, Connection, Table, func, select

from hookline.api import Duration, JsonValue, PollContext, PollItem, PollResult, Reach, ResetsCursor, encode_json
from hookline_sql.connector import connector
from hookline_sql.databases.address import address
from hookline_sql.databases.mysql import time_of_day, timestamp
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.databases.read_only_transaction import read_only
from hookline_sql.rows.seen_rows import KNOWN, Seen
from hookline_sql.tables import column_of, table
from hookline_sql.values import is_mysqls, to_json


@connector.poll(every="1m", name="rows")
async def new_rows(
    ctx: PollContext[Any],
    cursor: Any,
    table: Annotated[
        str, Reach("table"), ResetsCursor(), Field(min_length=1, description="The table, or `schema.table`.")
    ],
    column: Annotated[
        str,
        Reach("table"),
        ResetsCursor(),
        Field(min_length=1, description="The column that grows: an increasing id, or the time of a row's last change."),
    ],
    url: Annotated[
        str | None,
        Reach("database_url"),
        ResetsCursor(),
        Field(
            description="The database, as in sqlite:///books.db, postgresql://user@host/db or mysql://user@host/db; "
            "by default the credential's."
        ),
    ] = None,
    overlap: Annotated[
        Annotated[int, Field(ge=0)] | Duration | None,
        Field(
            description="The distance behind the greatest value in which new rows are still found: a transaction that "
            "takes long commits its rows after later ones. A number such as 1000 for ids, a duration such "
            "as 5m for times. By default 1000 and 5m."
        ),
    ] = None,
    max_rows: Annotated[
        int, Field(ge=1, le=1000, description="The number of rows that are read at once; the others follow.")
    ] = 500,
) -> PollResult:
    """Starts an execution for each new row of a table.

    The message's body is the row, by column, as `sql.query` gives it. A row is identified by the primary key and the
    value of `column`, or by all its values if there is no primary key. Databases assign ids and times before a
    transaction commits, so a row can appear behind the greatest value: it is found if it is behind by at most
    `overlap`, and missed otherwise. The trigger remembers the last 20,000 rows within the overlap; if there are more,
    the overlap is shorter.
    """
    where = address(ctx, url)

    def work(database: Database, connection: Connection) -> PollResult:
        target, grows = _target(database, connection, table, column)
        seen = Seen.read(cursor, grows, overlap)
        with read_only(connection):
            if cursor is None and ctx.baseline:
                _know(connection, target, grows, seen)
                return PollResult((), seen.cursor())
            return _new(connection, target, grows, seen, max_rows)

    return await ctx.resources.get(Databases).run(where, work)


def _target(database: Database, connection: Connection, name: str, column: str) -> tuple[Table, Column[Any]]:
    target = table(database, connection, name)
    if column not in target.c:
        # The table may have been altered since it was looked up.
        del database.tables[name]
        target = table(database, connection, name)
    return target, column_of(target, column)


def _know(connection: Connection, target: Table, grows: Column[Any], seen: Seen) -> None:
    """Note the existing rows as known."""
    greatest = connection.scalar(select(func.max(grows)))
    if greatest is None:
        return
    query = select(target).order_by(grows.desc()).limit(KNOWN + 1)
    lowest = seen.below(greatest)
    rows = connection.execute(query.where(grows >= lowest)).mappings()
    for row in reversed(rows.all()):
        seen.add(row[grows.name], _id(target, grows, _row(target, row)))


def _new(connection: Connection, target: Table, grows: Column[Any], seen: Seen, limit: int) -> PollResult:
    query = select(target).where(grows.is_not(None)).order_by(grows, *_keys(target, grows))
    lowest = seen.lowest()
    if lowest is not None:
        query = query.where(grows >= lowest)
    items: list[PollItem] = []
    more = False
    # The limit is such that new rows are among those that are read, if there are any.
    for row in connection.execute(query.limit(limit + len(seen) + 1)).mappings():
        body = _row(target, row)
        made = PollItem(_id(target, grows, body), body)
        if made.id in seen:
            continue
        if len(items) == limit:
            more = True
            break
        seen.add(row[grows.name], made.id)
        items.append(made)
    return PollResult(items, seen.cursor(), more)


def _row(target: Table, row: Any) -> dict[str, JsonValue]:
    return {str(name): _value(target.c[name].type, value) for name, value in row.items()}


def _value(kind: Any, value: Any) -> JsonValue:
    if is_mysqls(kind, "TIMESTAMP"):
        return timestamp(value)
    if is_mysqls(kind, "TIME"):
        return time_of_day(value)
    made: JsonValue = to_json(value)
    return made


def _keys(target: Table, grows: Column[Any]) -> list[Column[Any]]:
    return [key for key in target.primary_key.columns if key is not grows]


def _id(target: Table, grows: Column[Any], row: dict[str, JsonValue]) -> str:
    """Return an id of the row in its current state."""
    if not target.primary_key.columns:
        return encode_json(row).decode()
    return encode_json([row[grows.name], *(row[key.name] for key in _keys(target, grows))]).decode()
