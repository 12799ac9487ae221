"""Keep the pages of waiting steps."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("waits", sa.Column("page", sa.LargeBinary))
