"""The version of a database's tables, and the migrations from one version to the next."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from hookline.api import StoreError
from hookline.api_storage import StoreTooNew
from hookline_sqlstore.copy_mark import BEGIN_COPY, END_COPY, INCOMPLETE, is_copying
from hookline_sqlstore.dialect import met_others
from hookline_sqlstore.node_lease import NOW, run_in_driver
from hookline_sqlstore.table_compatibility import OWN, release, release_problem, unknown_problem
from hookline_sqlstore.tables import cluster, nodes

_MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"
_LOCK_LIMIT: Final = 1.5
"""Seconds for which a migration waits for a lock, while the commits of other nodes wait behind it. After the first one,
PostgreSQL ends an autovacuum that is in the way."""
_PAUSE: Final = 5.0
"""Seconds until a migration is tried again that didn't get its locks."""

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('hookline migration'), hashtext(current_schema()))"
#: The indexes of this schema that can be used.
_VALID: Final = (
    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE relnamespace = quote_ident(current_schema())::regnamespace AND indisvalid"
)
_BUILDING: Final = "SELECT pg_try_advisory_xact_lock(hashtext('hookline indexes'), hashtext(current_schema()))"
#: No node may write under an older release any more. A transaction of such a node ends first, since it has locked the
#: row of its lease.
_END_LEASES: Final = f"UPDATE nodes SET gone_at = {NOW} WHERE gone_at IS NULL AND version = ANY($1::text[])"  # noqa: S608 - our own names


def version(connection: Connection) -> str | None:
    """Return the version of the tables; None if there are none of this plugin."""
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """Return the latest version that this hookline knows."""
    head = _scripts().get_current_head()
    assert head is not None  # noqa: S101 - there is a first migration
    return head


def problem(connection: Connection, current: str | None, own: str = OWN) -> str | None:
    """Return the reason why a release can't use tables of this version, not even after an upgrade.

    Tables of a later version than this hookline knows can be used if they say so.
    """
    if is_copying(current):
        return INCOMPLETE
    if current is None:
        return None
    with connection.begin():
        oldest = oldest_release(connection)
    known = current in {script.revision for script in _scripts().walk_revisions()}
    return unknown_problem(current) if oldest is None and not known else release_problem(oldest, own)


def oldest_release(connection: Connection) -> str | None:
    """Return the oldest release that may use the tables; None if they don't say so."""
    columns = inspect(connection).get_columns(cluster.name) if inspect(connection).has_table(cluster.name) else ()
    if all(column["name"] != cluster.c.oldest_release.name for column in columns):
        return None
    found: str | None = connection.scalar(select(cluster.c.oldest_release))
    return found


def is_empty(connection: Connection) -> bool:
    """True if the database has no tables of this plugin."""
    return version(connection) is None


def upgrade(connection: Connection, own: str = OWN) -> None:
    """Run the migrations that the database doesn't have yet. `own`: the release of this node.

    Nodes of releases that can't use the tables afterwards lose their leases before that. Raises StoreTooNew if this
    release can't use the tables, and StoreError if they are being copied into.
    """
    while not _upgrade(connection, own):
        with connection.begin():
            connection.exec_driver_sql(f"SELECT pg_sleep({_PAUSE})")


def _upgrade(connection: Connection, own: str) -> bool:
    """Run the migrations; return false if others, such as a backup, use a table: then they have to be tried again."""
    current = version(connection)
    if reason := problem(connection, current, own):
        raise StoreError(reason) if is_copying(current) else StoreTooNew(reason)
    scripts = _scripts()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        return True  # a newer release has made the tables, and this one may use them
    if current != latest():
        try:
            _migrate(connection, scripts)
        except DBAPIError as error:
            if not met_others(error):
                raise
            return False
    _build_indexes(connection, scripts)
    return True


def _migrate(connection: Connection, scripts: ScriptDirectory) -> None:
    config = _config(_MIGRATIONS)
    config.attributes["connection"] = connection
    with connection.begin():
        if connection.dialect.name == "postgresql":
            # Of several nodes that start together, one migrates; the others find it done.
            connection.exec_driver_sql(_ONE_AT_A_TIME)
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{round(1000 * _LOCK_LIMIT)}ms'")
            # A pooler may give a session with the time limit of one that only reads.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            _end_leases(connection, scripts)
        command.upgrade(config, "head")
        connection.execute(update(cluster).values(oldest_release=_oldest_release(scripts)))


def _oldest_release(scripts: ScriptDirectory) -> str:
    """The oldest release that may use the tables after all migrations: the newest of those that they name."""
    found = (getattr(script.module, "oldest_release", None) for script in scripts.walk_revisions())
    named: list[str] = [name for name in found if name is not None]
    return max(named, key=release)


def _end_leases(connection: Connection, scripts: ScriptDirectory) -> None:
    """End the leases of nodes whose releases can't use the tables after the migrations."""
    if not inspect(connection).has_table(nodes.name):
        return
    oldest = _oldest_release(scripts)
    if oldest_release(connection) == oldest:
        return
    # No node registers before it can see which release is needed.
    connection.exec_driver_sql("LOCK TABLE nodes IN SHARE ROW EXCLUSIVE MODE")
    running = connection.scalars(select(nodes.c.version).where(nodes.c.gone_at.is_(None)).distinct()).all()
    old = [version for version in running if release_problem(oldest, version)]
    if old:
        connection.exec_driver_sql(_END_LEASES, (old,))


def _indexes(scripts: ScriptDirectory) -> list["Index"]:
    return [Index(*one) for script in scripts.walk_revisions() for one in getattr(script.module, "indexes", ())]


def _build_indexes(connection: Connection, scripts: ScriptDirectory) -> None:
    """Build the indexes that migrations name; on PostgreSQL, others can write meanwhile."""
    wanted = _indexes(scripts)
    if connection.dialect.name != "postgresql":
        with connection.begin():
            for index in wanted:
                connection.exec_driver_sql(index.statement("CREATE INDEX IF NOT EXISTS", index.table))
        return
    if not _missing(connection, wanted):
        return
    with connection.engine.connect() as locking, connection.engine.connect() as building:
        if not locking.scalar(text(_BUILDING)):
            return  # another node builds them
        # The lock has to last for as long as the builds take. They wait for each transaction with a snapshot; this ends
        # that of the query before.
        run_in_driver(locking, "SET LOCAL idle_in_transaction_session_timeout = 0")
        building.execution_options(isolation_level="AUTOCOMMIT")
        # Another node may have built them before this one had the lock.
        for index in _missing(connection, wanted):
            # A build that was interrupted has left an index that isn't valid.
            building.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
            table = "executions_live" if index.table == "executions" else index.table
            building.exec_driver_sql(index.statement("CREATE INDEX CONCURRENTLY", table))


def _missing(connection: Connection, wanted: Sequence["Index"]) -> list["Index"]:
    with connection.begin():
        valid = set(connection.scalars(text(_VALID)))
    return [index for index in wanted if index.name not in valid]


class Index(NamedTuple):
    """An index that a migration adds to an existing table; on PostgreSQL, the history of executions doesn't get it."""

    name: str
    table: str
    columns: str
    condition: str | None = None

    def statement(self, create: str, table: str) -> str:
        where = "" if self.condition is None else f" WHERE {self.condition}"
        return f"{create} {self.name} ON {table} ({self.columns}){where}"


def begin_copy(connection: Connection) -> None:
    """Mark tables as copied into. Only `END_COPY`, in the copy's own transaction, ends that."""
    with connection.begin():
        connection.exec_driver_sql(BEGIN_COPY)


def abandon_copy(connection: Connection) -> None:
    """Remove the mark of a copy that was interrupted."""
    if is_copying(version(connection)):
        with connection.begin():
            connection.exec_driver_sql(END_COPY)


def _scripts() -> ScriptDirectory:
    return _read_scripts(_MIGRATIONS)


@cache
def _read_scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(folder))


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config
