"""Keep drafts of flows."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "drafts",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("version", _name, nullable=False),
        sa.Column("base", sa.Text),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_drafts"),
    )
