"""Keep the history in partitions on PostgreSQL, and dedupe keys in a table of their own.

The existing tables become the first partitions, which end seven to eight days after the migration. So none of their
rows is written again, except for those of executions that are not in the history.
"""

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_HISTORY = "finished_at IS NOT NULL AND NOT (state = 'failed' AND discarded_at IS NULL) AND order_seq IS NULL"
_AHEAD = datetime.timedelta(days=8)

#: The indexes of all executions: their names, columns and conditions. Those of the history have no others.
_INDEXES = {
    "flow": ("flow_id, id", None),
    "ended": ("state, outcome, id", "finished_at IS NOT NULL"),
    "flow_ended": ("flow_id, state, outcome, id", "finished_at IS NOT NULL"),
    "error": ("error_code, id", "error_code IS NOT NULL"),
    "flow_error": ("flow_id, error_code, id", "error_code IS NOT NULL"),
    "replay": ("replay_of, id", "replay_of IS NOT NULL"),
}
_LIVE_INDEXES = {
    "order": ("flow_id, order_key, order_seq", "order_seq IS NOT NULL"),
    "ready": ("flow_id, ready_at, id", "ready_at IS NOT NULL AND owner IS NULL"),
    "begun": ("flow_id, ready_at, id", "ready_at IS NOT NULL AND owner IS NULL AND flow_version IS NOT NULL"),
    "claimed": ("owner, flow_id", "owner IS NOT NULL AND ready_at IS NOT NULL"),
    "cancelling": ("owner", "owner IS NOT NULL AND cancel_asked_at IS NOT NULL AND finished_at IS NULL"),
    "timers": ("ready_at, id", "state = 'waiting' AND ready_at IS NOT NULL"),
    "open": ("flow_id, state, id", "finished_at IS NULL"),
    "dead": ("flow_id, error_cause, id, finished_at", "error_cause IS NOT NULL AND discarded_at IS NULL"),
    "encrypted": ("id", "data_key IS NOT NULL"),
}


def upgrade() -> None:
    op.add_column("cluster", sa.Column("oldest_release", sa.Text))
    op.create_table(
        "dedupe_keys",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.PrimaryKeyConstraint("flow_id", "hash", name="pk_dedupe_keys"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO dedupe_keys (flow_id, hash, execution_id, until)"
        " SELECT flow_id, dedupe_hash, id, dedupe_until FROM executions WHERE dedupe_hash IS NOT NULL"
    )
    condition = sa.text("until IS NOT NULL")
    op.create_index(
        "ix_dedupe_keys_until", "dedupe_keys", ["until"], sqlite_where=condition, postgresql_where=condition
    )
    # These rows stood for keys only.
    op.execute("DELETE FROM executions WHERE state = 'purged'")
    op.drop_index("ix_executions_dedupe", "executions")
    op.drop_index("ix_executions_spent", "executions")
    op.drop_column("executions", "dedupe_hash")
    if op.get_bind().dialect.name == "postgresql":
        _partition()
    else:
        op.add_column(
            "executions",
            sa.Column("history", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
        )
        op.execute(f"UPDATE executions SET history = true WHERE {_HISTORY}")  # noqa: S608 - our own names


def _partition() -> None:
    # Where time and ids meet: an id begins with the milliseconds since 1970.
    now = op.get_bind().scalar(sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"))
    end = datetime.datetime(now.year, now.month, now.day, tzinfo=datetime.UTC) + _AHEAD
    digits = f"{int(end.timestamp() * 1000):012x}"
    bound = f"{digits[:8]}-{digits[8:]}"

    # The default of a new column rewrites no row.
    op.execute("ALTER TABLE executions ADD COLUMN history boolean NOT NULL DEFAULT true")
    op.execute("ALTER TABLE executions RENAME TO executions_history_first")
    op.execute("ALTER INDEX pk_executions RENAME TO pk_executions_history_first")
    op.execute(f"DROP INDEX {', '.join(f'ix_executions_{name}' for name in _LIVE_INDEXES)}")
    for name in _INDEXES:
        op.execute(f"ALTER INDEX ix_executions_{name} RENAME TO ix_executions_history_first_{name}")
    op.execute("CREATE TABLE executions (LIKE executions_history_first INCLUDING DEFAULTS) PARTITION BY LIST (history)")
    op.execute("ALTER TABLE executions ALTER COLUMN history SET DEFAULT false")
    op.execute("CREATE TABLE executions_live PARTITION OF executions FOR VALUES IN (false)")
    op.execute("CREATE TABLE executions_history PARTITION OF executions FOR VALUES IN (true) PARTITION BY RANGE (id)")
    columns = ", ".join(
        f'"{column["name"]}"'
        for column in sa.inspect(op.get_bind()).get_columns("executions_history_first")
        if column["name"] != "history"
    )
    op.execute(
        f"WITH moved AS (DELETE FROM executions_history_first WHERE NOT coalesce({_HISTORY}, false) RETURNING *)"  # noqa: S608 - our own names
        f" INSERT INTO executions_live ({columns}, history) SELECT {columns}, false FROM moved"
    )
    op.execute("ALTER TABLE executions_live ADD CONSTRAINT pk_executions PRIMARY KEY (id)")
    for name, (indexed, where) in {**_INDEXES, **_LIVE_INDEXES}.items():
        op.execute(f"CREATE INDEX ix_executions_{name} ON executions_live ({indexed}){_where(where)}")
    op.execute("ALTER TABLE executions_history ADD CONSTRAINT pk_executions_history PRIMARY KEY (id)")
    for name, (indexed, where) in _INDEXES.items():
        op.execute(f"CREATE INDEX ix_executions_history_{name} ON executions_history ({indexed}){_where(where)}")
    # Finds those that ended late when a partition is removed. It has an entry for each megabyte of rows.
    op.execute("CREATE INDEX ix_executions_history_finished ON executions_history USING brin (finished_at)")
    _attach("executions_history", "id", bound)

    for table, key in (("journal", "execution_id, seq"), ("payloads", "execution_id")):
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_first")
        op.execute(f"ALTER INDEX pk_{table} RENAME TO pk_{table}_first")
        op.execute(f"CREATE TABLE {table} (LIKE {table}_first INCLUDING DEFAULTS) PARTITION BY RANGE (execution_id)")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({key})")
        _attach(table, "execution_id", bound)


def _attach(table: str, key: str, bound: str) -> None:
    """Make a table with all that there was the first partition, but for rows from the future."""
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(
        f"WITH moved AS (DELETE FROM {table}_first WHERE {key} >= '{bound}' RETURNING *)"  # noqa: S608 - our own names
        f" INSERT INTO {table}_default SELECT * FROM moved"
    )
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_first FOR VALUES FROM (MINVALUE) TO ('{bound}')")


def _where(condition: str | None) -> str:
    return "" if condition is None else f" WHERE {condition}"
