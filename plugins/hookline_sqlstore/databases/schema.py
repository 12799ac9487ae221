"""The version of a database's tables, and the migrations from one version to the next."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from hookline.api import StoreError
from hookline_sqlstore.copy_mark import BEGIN_COPY, END_COPY, INCOMPLETE, is_copying

_MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('hookline migration'), hashtext(current_schema()))"
_UNKNOWN: Final = (
    "the database's tables are of version {current}, which this hookline (its latest is {head}) doesn't know: install "
    "the newer hookline that made them, or use another database"
)


def version(connection: Connection) -> str | None:
    """Return the version of the tables; None if there are none of this plugin."""
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """Return the latest version that this hookline knows."""
    head = _scripts().get_current_head()
    assert head is not None  # noqa: S101 - there is a first migration
    return head


def problem(current: str | None) -> str | None:
    """Return the reason why tables of this version can't be used, not even after an upgrade."""
    if current is None or current in {script.revision for script in _scripts().walk_revisions()}:
        return None
    if is_copying(current):
        return INCOMPLETE
    return _UNKNOWN.format(current=current, head=latest())


def is_empty(connection: Connection) -> bool:
    """True if the database has no tables of this plugin."""
    return version(connection) is None


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database doesn't have yet.

    Raises StoreError if a newer version of this plugin has created the tables, or if they are being copied into.
    """
    current = version(connection)
    if current == latest():
        return
    if reason := problem(current):
        raise StoreError(reason)
    config = _config()
    config.attributes["connection"] = connection
    with connection.begin():
        if connection.dialect.name == "postgresql":
            # Of several nodes that start together, one migrates; the others find it done.
            connection.exec_driver_sql(_ONE_AT_A_TIME)
        command.upgrade(config, "head")


def begin_copy(connection: Connection) -> None:
    """Mark tables as copied into. Only `END_COPY`, in the copy's own transaction, ends that."""
    with connection.begin():
        connection.exec_driver_sql(BEGIN_COPY)


def abandon_copy(connection: Connection) -> None:
    """Remove the mark of a copy that was interrupted."""
    if is_copying(version(connection)):
        with connection.begin():
            connection.exec_driver_sql(END_COPY)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
