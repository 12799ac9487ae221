"""The version of a database's tables, and the migrations from one version to the next."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hookline.api import StoreError

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('hookline migration'), hashtext(current_schema()))"
_COPYING: Final = "copying to "
"""The beginning of the version of tables that another database is being copied into. No release knows such a version,
so none serves them before the copy is complete, also if it was killed."""
END_COPY: Final = f"UPDATE alembic_version SET version_num = replace(version_num, '{_COPYING}', '')"  # noqa: S608 - ours
"""The statement that removes that mark."""
_UNKNOWN: Final = (
    "the database's tables are of version {current}, which this hookline (its latest is {head}) doesn't know: install "
    "the newer hookline that made them, or use another database"
)
_INCOMPLETE: Final = (
    "another database is being copied into this one, or such a copy was interrupted. Wait until it has ended, or run "
    "`hookline db copy` again: nothing of an interrupted copy is left in these tables"
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
        return _INCOMPLETE
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


def is_copying(current: str | None) -> bool:
    """True for the version of tables that another database is being copied into."""
    return current is not None and current.startswith(_COPYING)


def begin_copy(connection: Connection) -> None:
    """Mark tables of the latest version as copied into. Only `END_COPY`, in the copy's own transaction, ends that."""
    _set_version(connection, _COPYING + latest())


def abandon_copy(connection: Connection) -> None:
    """Remove the mark of a copy that was interrupted."""
    current = version(connection)
    if current is not None and is_copying(current):
        _set_version(connection, current.removeprefix(_COPYING))


def _set_version(connection: Connection, to: str) -> None:
    with connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": to})


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
