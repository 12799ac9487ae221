"""Keep the tags of executions."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tags",
        sa.Column("name", _name, nullable=False),
        sa.Column("value", _name, nullable=False),
        sa.Column("execution_id", _name, nullable=False),
        sa.PrimaryKeyConstraint("name", "value", "execution_id", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_execution", "tags", ["execution_id"])
