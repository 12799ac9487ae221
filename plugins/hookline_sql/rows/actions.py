"""The actions on the rows of a table: `sql.insert`, `sql.upsert`, `sql.update`, `sql.delete`."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from sqlalchemy import Connection, Table

from hookline.api import Context, Either, FromVars, JsonValue, Reach, StepError
from hookline_sql.connector import SqlCredential, connector
from hookline_sql.databases.address import address
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.databases.streaming import Incoming
from hookline_sql.exactly_once import check_engine
from hookline_sql.rows import insert_and_upsert as putting
from hookline_sql.rows import update_and_delete as changing
from hookline_sql.statement_actions import Once, Url, effect, idempotent
from hookline_sql.tables import converted, table_for

Given = dict[str, JsonValue]
TableName = Annotated[str, Reach("table"), FromVars(), Field(min_length=1, description="The table, or `schema.table`.")]
OneRow = Annotated[Given | None, Either("rows"), Field(description="One row: its values by column.")]
ManyRows = Annotated[
    AsyncIterator[Given] | None,
    Field(description="Several rows, as a list or a stream of any length; all of them are inserted, or none."),
]
Where = Annotated[
    Given,
    Field(
        min_length=1,
        description="The rows to select: those whose columns have these values; a list matches each of its values. It "
        "can't be empty.",
    ),
]

#: Puts rows into a table, given the number of the first one; None if there is only one row.
Put = Callable[[Connection, Table, Sequence[dict[str, Any]], int | None], Given]


@connector.action(idempotent=idempotent)
async def insert(
    ctx: Context[SqlCredential | None],
    table: TableName,
    row: OneRow = None,
    rows: ManyRows = None,
    url: Url = None,
    once: Once = True,
) -> dict[str, JsonValue]:
    """Insert a row, or several.

    The result is `{"rowcount": …}`; for one row in a table with a primary key, `key` has the columns of the key. Values
    are converted to the columns' types: times from RFC 3339, decimals exactly from text, bytes from base64. Of a
    stream, 500 rows at a time are in memory; all are in one transaction.
    """

    def begin(connection: Connection, target: Table) -> Put:
        def put(connection: Connection, target: Table, made: Sequence[dict[str, Any]], first: int | None) -> Given:
            if first is None:
                return putting.insert_one(connection, target, made[0])
            return {"rowcount": putting.insert(connection, target, made)}

        return put

    return await _put_all(ctx, url, table, row, rows, once, begin)


@connector.action(idempotent=idempotent)
async def upsert(
    ctx: Context[SqlCredential | None],
    table: TableName,
    row: OneRow = None,
    rows: ManyRows = None,
    key: Annotated[
        list[str] | None,
        Reach("table"),
        FromVars(),
        Field(
            min_length=1,
            description="The columns that identify a row: a primary key, or other columns that are unique. By default "
            "the primary key.",
        ),
    ] = None,
    existing: Annotated[
        Literal["update", "keep"], Field(description="Update a row that exists, or keep it as it is.")
    ] = "update",
    update: Annotated[
        list[str] | None,
        Reach("table"),
        FromVars(),
        Field(description="The columns that are updated; by default all given ones except the key."),
    ] = None,
    url: Url = None,
    once: Once = True,
) -> dict[str, JsonValue]:
    """Insert a row, or several; rows that exist are updated, or kept as they are.

    The result is `{"rowcount": …}`: the number of inserted and updated rows. So for one row with `keep` it is 0 if the
    row existed, and 1 if it is new. For one row in a table with a primary key, `key` has the columns of the key.
    """

    def begin(connection: Connection, target: Table) -> Put:
        how = putting.upsert(connection, target, key, update, keep=existing == "keep")

        def put(connection: Connection, target: Table, made: Sequence[dict[str, Any]], first: int | None) -> Given:
            count = how.put(connection, made, first=first)
            primary = how.key_of(connection, made[0]) if first is None else {}
            return {"rowcount": count, "key": primary} if primary else {"rowcount": count}

        return put

    return await _put_all(ctx, url, table, row, rows, once, begin)


@connector.action(idempotent=idempotent)
async def update(
    ctx: Context[SqlCredential | None],
    table: TableName,
    values: Annotated[Given, Field(min_length=1, description="The new values, by column.")],
    where: Where,
    url: Url = None,
    once: Once = True,
) -> dict[str, JsonValue]:
    """Update the rows of a table that have given values, such as a key.

    The result is `{"rowcount": …}`: the number of these rows.
    """

    def change(connection: Connection, target: Table) -> int:
        return changing.update(connection, target, where, values)

    return await _change(ctx, url, table, once, [values, where], change)


@connector.action(idempotent=idempotent)
async def delete(
    ctx: Context[SqlCredential | None], table: TableName, where: Where, url: Url = None, once: Once = True
) -> dict[str, JsonValue]:
    """Delete the rows of a table that have given values, such as a key.

    The result is `{"rowcount": …}`: the number of these rows.
    """

    def change(connection: Connection, target: Table) -> int:
        return changing.delete(connection, target, where)

    return await _change(ctx, url, table, once, [where], change)


async def _change(
    ctx: Context[Any],
    url: str | None,
    name: str,
    once: bool,
    named: Sequence[Given],
    change: Callable[[Connection, Table], int],
) -> Given:
    where = address(ctx, url)

    def work(database: Database, connection: Connection) -> Given:
        target = table_for(database, connection, name, named)
        if once:
            check_engine(target)
        return effect(database, connection, ctx, once, lambda: {"rowcount": change(connection, target)})

    return await ctx.resources.get(Databases).run(where, work)


async def _put_all(
    ctx: Context[Any],
    url: str | None,
    name: str,
    row: Given | None,
    rows: AsyncIterator[Given] | None,
    once: bool,
    begin: Callable[[Connection, Table], Put],
) -> Given:
    """Put one row, or all rows, into a table in one transaction. `begin` returns how, before it begins."""
    if (row is None) == (rows is None):
        raise StepError("give either `row` or `rows`", code="sql.rows")
    where, databases = address(ctx, url), ctx.resources.get(Databases)
    if row is not None:
        return await databases.run(
            where, lambda database, connection: _put_one(database, connection, ctx, name, row, once, begin)
        )
    if rows is None or not await (incoming := Incoming(rows)).any():
        return {"rowcount": 0}
    try:
        return await databases.run(
            where, lambda database, connection: _put_many(database, connection, ctx, name, incoming, once, begin)
        )
    finally:
        await incoming.end()


def _put_one(
    database: Database,
    connection: Connection,
    ctx: Context[Any],
    name: str,
    row: Given,
    once: bool,
    begin: Callable[[Connection, Table], Put],
) -> Given:
    target = table_for(database, connection, name, [row])
    made = converted(target, [row])
    if once:
        check_engine(target)
    put = begin(connection, target)
    return effect(database, connection, ctx, once, lambda: put(connection, target, made, None))


def _put_many(
    database: Database,
    connection: Connection,
    ctx: Context[Any],
    name: str,
    incoming: Incoming,
    once: bool,
    begin: Callable[[Connection, Table], Put],
) -> Given:
    page = incoming.page(connection)
    target = table_for(database, connection, name, (row for row in page if isinstance(row, dict)))
    if once:
        check_engine(target)
    put = begin(connection, target)

    def work() -> Given:
        some, first, count = page, 0, 0
        while some:
            done = put(connection, target, converted(target, some, first=first), first)
            count += cast(int, done["rowcount"])
            first += len(some)
            some = incoming.page(connection)
        return {"rowcount": count}

    return effect(database, connection, ctx, once, work)
