"""Asking a database whether it takes a credential."""

from sqlalchemy import Connection

from hookline.api import StepError, VerifyContext
from hookline_sql.connector import SqlCredential, connector
from hookline_sql.databases.address import address
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.databases.read_only import read_only


@connector.verify
async def verify(ctx: VerifyContext[SqlCredential]) -> str | None:
    """Connect to the credential's database; gives the user that it is there.

    A password without a URL belongs to the steps' databases, and there is none to try it at.
    """
    if ctx.credential.url is None:
        raise StepError(
            "it holds no `url`, so that there is no database to try it at: a step's `url` says where it is used",
            code="sql.url",
        )
    where = address(ctx, None)

    def ask(_: Database, connection: Connection) -> str | None:
        with read_only(connection):
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master")
                return None
            return str(connection.exec_driver_sql("SELECT CURRENT_USER").scalar())

    return await ctx.resources.get(Databases).run(where, ask)
