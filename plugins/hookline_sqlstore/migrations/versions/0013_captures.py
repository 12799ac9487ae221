"""Keep captured requests."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "captures",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.PrimaryKeyConstraint("flow_id", name="pk_captures"),
    )
    op.create_table(
        "captured_requests",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("info", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.LargeBinary, nullable=False),
        sa.Column("query", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("left_out", sa.Text),
        sa.PrimaryKeyConstraint("flow_id", "id", name="pk_captured_requests"),
    )
    op.create_index("ix_captured_requests_at", "captured_requests", ["at"])
