"""The actions `sql.insert`, `sql.query` and `sql.execute`."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Connection

from hookline.api import Connector, Context, FromVars, JsonValue, StepError
from hookline_database.about import DESCRIPTION, ERRORS, EXAMPLE
from hookline_database.address import SqlCredential, address
from hookline_database.databases import Database, Databases
from hookline_database.effects import once as exactly_once
from hookline_database.reading import fetching, read_only
from hookline_database.statements import bound, pages, rows
from hookline_database.streaming import streamed
from hookline_database.tables import converted
from hookline_database.tables import insert as insert_rows

_ROWS: Final = 10_000

connector = Connector(
    "sql",
    title="SQL databases",
    credential=SqlCredential,
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)

Url = Annotated[
    str | None,
    FromVars(),
    Field(description="The database, as in sqlite:///books.db or postgresql://user@host/db; or the credential's."),
]
Statement = Annotated[str, FromVars(), Field(min_length=1, description="The statement; values stand in it as `:name`.")]
Params = Annotated[dict[str, JsonValue] | None, Field(description="The values of the statement's `:name`s.")]
Once = Annotated[
    bool,
    Field(description="Take effect exactly once, by a key in the table `hookline_effects` of the same database."),
]


def _idempotent(settings: Mapping[str, Any]) -> bool:
    """Whether it takes effect once however often it is done."""
    return settings.get("once") is not False


@connector.action(idempotent=_idempotent)
async def insert(
    ctx: Context[Any],
    table: Annotated[str, FromVars(), Field(min_length=1, description="The table, or `schema.table`.")],
    row: Annotated[dict[str, JsonValue] | None, Field(description="One row, by column.")] = None,
    rows: Annotated[
        list[dict[str, JsonValue]] | None, Field(description="Several rows; all are inserted, or none.")
    ] = None,
    url: Url = None,
    once: Once = True,
) -> dict[str, JsonValue]:
    """Insert a row, or several.

    The result is `{"rowcount": …}`; for one row in a table with a primary key, `key` has its columns. Values are
    converted to the columns' types: times from RFC 3339, decimals exactly from text, bytes from base64.
    """
    if (row is None) == (rows is None):
        raise StepError("give either `row` or `rows`", code="sql.rows")
    given = [row] if row is not None else rows or []
    where = address(ctx, url)
    if not given:
        return {"rowcount": 0}

    def work(database: Database, connection: Connection) -> dict[str, JsonValue]:
        target, made = converted(database, connection, table, given)
        return _effect(database, connection, ctx, once, lambda: insert_rows(connection, target, made))

    return await ctx.resources.get(Databases).run(where, work)


@connector.action(idempotent=_idempotent)
async def execute(
    ctx: Context[Any], sql: Statement, params: Params = None, url: Url = None, once: Once = True
) -> dict[str, JsonValue]:
    """Execute a statement that changes something.

    The result is `{"rowcount": …}`: the rows that it changed.
    """
    where = address(ctx, url)

    def work(database: Database, connection: Connection) -> dict[str, JsonValue]:
        clause, values = bound(database, connection, sql, params or {})

        def change() -> dict[str, JsonValue]:
            return {"rowcount": max(connection.execute(clause, values).rowcount, 0)}

        return _effect(database, connection, ctx, once, change)

    return await ctx.resources.get(Databases).run(where, work)


@connector.action(idempotent=True)
async def query(
    ctx: Context[Any],
    sql: Statement,
    params: Params = None,
    url: Url = None,
    max_rows: Annotated[
        int | None, Field(ge=1, description="More rows are an error; by default 10,000, and any number as a stream.")
    ] = None,
    stream: Annotated[
        bool,
        Field(description="The result is a stream, which `foreach` goes through row by row however many there are."),
    ] = False,
) -> list[dict[str, JsonValue]] | AsyncIterator[dict[str, JsonValue]]:
    """Read rows.

    The result is a list of objects, by column. It can change nothing: `sql.execute` does. Times are RFC 3339, bytes
    base64; decimals are exact numbers.
    """
    where = address(ctx, url)

    databases = ctx.resources.get(Databases)

    def read(database: Database, connection: Connection) -> Iterator[list[dict[str, JsonValue]]]:
        clause, values = bound(database, connection, sql, params or {})
        with read_only(connection), fetching(connection):
            # A driver of a server would otherwise fetch all rows before it gives the first.
            options = {"stream_results": True} if stream else {}
            result = connection.execute(clause, values, execution_options=options)
            if not result.returns_rows:
                raise StepError("the statement gives no rows; sql.execute runs those", code="sql.read_only")
            if stream:
                yield from pages(result, max_rows)
            else:
                yield rows(result, max_rows or _ROWS)

    if stream:
        return streamed(databases, where, read)
    return await databases.run(
        where, lambda database, connection: [row for page in read(database, connection) for row in page]
    )


def _effect(
    database: Database,
    connection: Connection,
    ctx: Context[Any],
    once: bool,
    work: Callable[[], dict[str, JsonValue]],
) -> dict[str, JsonValue]:
    with database.writing:
        if once:
            return exactly_once(database, connection, ctx.idempotency_key, work)
        with connection.begin():
            return work()
