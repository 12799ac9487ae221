"""The connector `sql`: rows and statements of any database that SQLAlchemy supports, and the trigger `sql.rows`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_sql import credential_check, statement_actions  # noqa: F401 - they add to the connector
from hookline_sql.connector import connector
from hookline_sql.rows import actions, new_rows_trigger  # noqa: F401 - they add to the connector


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the SQL connector."""
    return [connector]
