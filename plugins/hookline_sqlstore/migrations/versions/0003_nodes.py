"""Let several nodes serve one database: leases, the owners of executions, and the queues of order keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "lines",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("order_key", sa.LargeBinary, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "order_key", name="pk_lines"),
    )
    op.execute(
        "INSERT INTO lines (flow_id, order_key, last) SELECT flow_id, order_key, max(order_seq) FROM executions"
        " WHERE order_seq IS NOT NULL GROUP BY flow_id, order_key"
    )
    op.create_table(
        "nodes",
        sa.Column("lease", _name, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("clock_ahead", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("adopted", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("drain_asked_at", sa.BigInteger),
        sa.Column("gone_at", sa.BigInteger),
        sa.Column("released_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("lease", name="pk_nodes"),
    )
    cluster = op.create_table(
        "cluster",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cluster"),
    )
    op.bulk_insert(cluster, [{"id": 1, "changes": 0}])
    op.create_table(
        "duties",
        sa.Column("name", _name, nullable=False),
        sa.Column("owner", _name, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )
    op.add_column("executions", sa.Column("owner", _name))
    for name in ("ix_executions_ready", "ix_executions_begun"):
        op.drop_index(name, "executions")
    _partial("ix_executions_ready", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL AND owner IS NULL")
    _partial(
        "ix_executions_begun",
        "flow_id",
        "ready_at",
        "id",
        where="ready_at IS NOT NULL AND owner IS NULL AND flow_version IS NOT NULL",
    )
    _partial("ix_executions_claimed", "owner", "flow_id", where="owner IS NOT NULL AND ready_at IS NOT NULL")
    _partial(
        "ix_executions_cancelling",
        "owner",
        where="owner IS NOT NULL AND cancel_asked_at IS NOT NULL AND finished_at IS NULL",
    )


def _partial(name: str, *columns: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "executions", list(columns), sqlite_where=condition, postgresql_where=condition)
