"""Make the tables of statistics and of the problems of nodes, and find what waits too long or is blocked."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

indexes = [
    ("ix_waits_late", "waits", "flow_id, late_at", "late_at IS NOT NULL"),
    ("ix_executions_blocked", "executions", "flow_id, id", "substr(reason, 1, 8) = 'blocked:'"),
]

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBERS = (
    "queue_age",
    "accepted",
    "rejected",
    "succeeded",
    "failed",
    "cancelled",
    *(f"latency_{bucket}" for bucket in range(25)),
)


def upgrade() -> None:
    op.create_table(
        "statistics_minutes",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("node", _name, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _NUMBERS),
        sa.PrimaryKeyConstraint("flow_id", "at", "node", name="pk_statistics_minutes"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_statistics_minutes_at", "statistics_minutes", ["at"])
    op.create_table(
        "statistics_hours",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _NUMBERS),
        sa.PrimaryKeyConstraint("flow_id", "at", name="pk_statistics_hours"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_statistics_hours_at", "statistics_hours", ["at"])
    op.add_column("waits", sa.Column("late_at", sa.BigInteger))
    op.create_table(
        "node_problems",
        sa.Column("node", _name, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node", "place", name="pk_node_problems"),
    )
