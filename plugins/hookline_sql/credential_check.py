"""The check of a credential by connecting to its database."""

from sqlalchemy import Connection

from hookline.api import StepError, VerifyContext
from hookline_sql.connector import SqlCredential, connector
from hookline_sql.databases.address import address
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.databases.read_only_transaction import read_only


@connector.verify
async def verify(ctx: VerifyContext[SqlCredential]) -> str | None:
    """Connect to the credential's database; return the name of the user there.

    A password without a URL can't be checked, because only steps name its database.
    """
    if ctx.credential.url is None:
        raise StepError(
            "the credential has no `url`, so there is no database to check it with: the `url` of a step names the "
            "database",
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
