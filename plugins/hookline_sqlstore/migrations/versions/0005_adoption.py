"""Keep what all nodes agree on: the keys in use, the admin token, and how long a node accepts without its lease."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("nodes", sa.Column("accepts_without_lease", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("nodes", sa.Column("secret_keys", sa.Text))
    op.add_column("cluster", sa.Column("first_key", sa.Text))
    op.add_column("cluster", sa.Column("admin_token", sa.LargeBinary))
    op.create_table(
        "secret_keys",
        sa.Column("id", _name, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_secret_keys"),
    )
