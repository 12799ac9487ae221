"""`sql.insert`, `sql.query`, `sql.execute`: work with any database that SQLAlchemy knows."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_database.actions import connector


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The SQL connector."""
    return [connector]
