"""Make the table of aliases: ids under which duplicates were accepted while the database couldn't be asked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "execution_aliases",
        sa.Column("alias", _name, nullable=False),
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("alias", name="pk_execution_aliases"),
    )
    op.create_index("ix_execution_aliases_execution", "execution_aliases", ["execution_id"])
