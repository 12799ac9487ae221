"""Store the flows that may use a credential, and the hosts to which it may be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("credentials", sa.Column("flows", sa.LargeBinary))
    op.add_column("credentials", sa.Column("hosts", sa.LargeBinary))
