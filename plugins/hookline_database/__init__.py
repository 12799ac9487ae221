"""`sql.insert`, `sql.query`, `sql.execute`, and the trigger `sql.rows`: any database that SQLAlchemy knows."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_database import new_rows  # noqa: F401 - it adds the trigger to the connector
from hookline_database.actions import connector


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The SQL connector."""
    return [connector]
