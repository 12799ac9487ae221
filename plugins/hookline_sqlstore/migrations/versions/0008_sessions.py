"""Make the tables of sessions and sign-in codes; give the database an id, which names the cookies of its sessions."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("cluster", sa.Column("instance_id", sa.Text))
    cluster = sa.table("cluster", sa.column("instance_id", sa.Text))
    op.execute(cluster.update().values(instance_id=secrets.token_hex(6)))
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("id", _name, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "sign_in_codes",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("id", _name, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("session_expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_in_codes"),
    )
    op.create_index("ix_sign_in_codes_expires_at", "sign_in_codes", ["expires_at"])
