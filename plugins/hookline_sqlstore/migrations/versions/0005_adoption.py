"""Keep with each node for how long it goes on accepting messages without its lease."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("accepts_without_lease", sa.BigInteger, nullable=False, server_default="0"))
