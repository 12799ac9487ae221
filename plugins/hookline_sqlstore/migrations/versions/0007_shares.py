"""Let nodes share what they have in common: the parts of the rates of flows, and one blob store."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rate_parts",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("rate", _name, nullable=False),
        sa.Column("lease", _name, nullable=False),
        sa.Column("parts", sa.Integer, nullable=False),
        sa.Column("ready_at", sa.BigInteger, nullable=False),
        sa.Column("need", sa.Double, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "rate", "lease", name="pk_rate_parts"),
    )
    op.add_column("nodes", sa.Column("probe", sa.Text))
    op.add_column("nodes", sa.Column("probe_read", sa.Boolean(create_constraint=False)))
    op.add_column("cluster", sa.Column("blob_mark", sa.Text))
