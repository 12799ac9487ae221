"""The migration of a database's tables."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from hookline.api import StoreError

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('hookline migration'), hashtext(current_schema()))"


def is_empty(connection: Connection) -> bool:
    """True if the database has no tables of this plugin."""
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision() is None


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database doesn't have yet.

    Raises StoreError if a newer version of this plugin has created the tables.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with connection.begin():
        current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"the database's tables are of version {current}, which this hookline (its latest is {head}) doesn't know: "
            "install the newer hookline that made them, or use another database"
        )
    with connection.begin():
        if connection.dialect.name == "postgresql":
            # Of several nodes that start together, one migrates; the others find it done.
            connection.exec_driver_sql(_ONE_AT_A_TIME)
        command.upgrade(config, "head")
