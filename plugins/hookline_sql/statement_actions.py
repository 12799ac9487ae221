"""The actions of `sql` that run SQL statements of a flow."""

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Connection

from hookline.api import Context, FromVars, JsonValue, Reach, StepError
from hookline_sql.connector import SqlCredential, connector
from hookline_sql.databases.address import address
from hookline_sql.databases.failures import driver_errors
from hookline_sql.databases.mysql import commits_by_itself, is_mysql
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.databases.read_only_transaction import read_only
from hookline_sql.databases.streaming import streamed
from hookline_sql.exactly_once import once as exactly_once
from hookline_sql.statements import bound, names, pages, rows

_ROWS: Final = 10_000


Url = Annotated[
    str | None,
    Reach("database_url"),
    FromVars(),
    Field(
        description="The database, as in sqlite:///books.db, postgresql://user@host/db or mysql://user@host/db; by "
        "default the credential's."
    ),
]
Statement = Annotated[
    str, Reach("sql"), FromVars(), Field(min_length=1, description="The statement, with parameters such as `:name`.")
]
Params = Annotated[dict[str, JsonValue] | None, Field(description="The values of the parameters.")]
Once = Annotated[
    bool,
    Field(description="Take effect exactly once, by a key in the table `hookline_effects` of the same database."),
]


def idempotent(settings: Mapping[str, Any]) -> bool:
    """Return true if repeating the step has no further effect."""
    return settings.get("once") is not False


@connector.action(idempotent=idempotent)
async def execute(
    ctx: Context[SqlCredential | None], sql: Statement, params: Params = None, url: Url = None, once: Once = True
) -> dict[str, JsonValue]:
    """Execute a statement that changes something.

    The result is `{"rowcount": …}`: the number of changed rows. On MySQL and MariaDB, a statement that changes the
    schema commits by itself: if the engine dies meanwhile, its outcome isn't known, and the step fails and says so.
    """
    where = address(ctx, url)

    def work(database: Database, connection: Connection) -> dict[str, JsonValue]:
        clause, values = bound(database, connection, sql, params or {})

        def change() -> dict[str, JsonValue]:
            return {"rowcount": max(connection.execute(clause, values).rowcount, 0)}

        return effect(database, connection, ctx, once, change, author=True)

    return await ctx.resources.get(Databases).run(where, work)


@connector.action(idempotent=idempotent)
async def transaction(
    ctx: Context[SqlCredential | None],
    statements: Annotated[
        list[str],
        Reach("sql"),
        FromVars(),
        Field(min_length=1, max_length=100, description="The statements, in order, with parameters such as `:name`."),
    ],
    params: Annotated[
        dict[str, JsonValue] | None, Field(description="The values of the parameters of all statements.")
    ] = None,
    url: Url = None,
    once: Once = True,
) -> dict[str, JsonValue]:
    """Execute several statements that change something: all of them, or none.

    The result is `{"rowcount": …, "rowcounts": […]}`: the number of changed rows in total, and by statement. On MySQL
    and MariaDB, no statement may commit by itself, such as one that changes the schema.
    """
    where, given = address(ctx, url), params or {}

    def work(database: Database, connection: Connection) -> dict[str, JsonValue]:
        needed = [names(connection, sql) for sql in statements]
        unknown = [name for name in given if not any(name in each for each in needed)]
        if unknown:
            raise StepError(f"no statement has a parameter :{unknown[0]}", code="sql.params")
        prepared = []
        for number, (sql, used) in enumerate(zip(statements, needed, strict=True)):
            if is_mysql(connection.dialect) and commits_by_itself(sql):
                raise StepError(
                    f"statement {number} commits by itself, so the earlier ones couldn't be rolled back; use "
                    "sql.execute for it, in a step of its own",
                    code="sql.transaction",
                )
            try:
                prepared.append(bound(database, connection, sql, {name: given[name] for name in used if name in given}))
            except StepError as error:
                raise StepError(f"statement {number}: {error.message}", code=error.error_code) from None

        def change() -> dict[str, JsonValue]:
            if connection.dialect.name == "sqlite" and not once:
                # Its driver begins a transaction before a change of rows, but not before a change of the schema.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            counts: list[JsonValue] = []
            for clause, values in prepared:
                counts.append(max(connection.execute(clause, values).rowcount, 0))
            return {"rowcount": sum(int(str(count)) for count in counts), "rowcounts": counts}

        return effect(database, connection, ctx, once, change, author=True)

    return await ctx.resources.get(Databases).run(where, work)


@connector.action(idempotent=True)
async def query(
    ctx: Context[SqlCredential | None],
    sql: Statement,
    params: Params = None,
    url: Url = None,
    max_rows: Annotated[
        int | None,
        Field(
            ge=1,
            description="The maximum number of rows; more are an error. By default 10,000; unlimited for a stream.",
        ),
    ] = None,
    stream: Annotated[
        bool,
        Field(description="True if the result is a stream, which `foreach` reads row by row, however many there are."),
    ] = False,
) -> list[dict[str, JsonValue]] | AsyncIterator[dict[str, JsonValue]]:
    """Read rows.

    The result is a list of objects by column. The statement can't change anything; use `sql.execute` for that. Times
    are RFC 3339, bytes are base64, and decimals are exact numbers.
    """
    where = address(ctx, url)

    databases = ctx.resources.get(Databases)

    def read(database: Database, connection: Connection) -> Generator[list[dict[str, JsonValue]], None, None]:
        clause, values = bound(database, connection, sql, params or {})
        with read_only(connection), driver_errors(connection.dialect.driver):
            # Otherwise, a server's driver would fetch all rows before it returns the first.
            options = {"stream_results": True} if stream else {}
            result = connection.execute(clause, values, execution_options=options)
            if not result.returns_rows:
                raise StepError("the statement returns no rows; use sql.execute", code="sql.read_only")
            if stream:
                yield from pages(result, max_rows)
            else:
                yield rows(result, max_rows or _ROWS)

    if stream:
        return streamed(databases, where, read)
    return await databases.run(
        where, lambda database, connection: [row for page in read(database, connection) for row in page]
    )


def effect(
    database: Database,
    connection: Connection,
    ctx: Context[Any],
    once: bool,
    work: Callable[[], dict[str, JsonValue]],
    *,
    author: bool = False,
) -> dict[str, JsonValue]:
    """Do the work in a transaction, exactly once if the step asks for it. `author`: it runs statements of the flow."""
    with database.writing:
        if once:
            return exactly_once(database, connection, ctx.idempotency_key, work, author=author)
        with connection.begin():
            return work()
