"""Make the tables of remote administration: deployments, tokens and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("author", _name, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("rollback_of", _name),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
    )
    op.create_table(
        "deployed_flows",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("deployment_id", _name, nullable=False),
        sa.Column("version", _name),
        sa.Column("before", _name),
        sa.PrimaryKeyConstraint("flow_id", "deployment_id", name="pk_deployed_flows"),
    )
    op.create_index("ix_deployed_flows_deployment", "deployed_flows", ["deployment_id"])
    op.create_table(
        "served_flows",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("version", _name, nullable=False),
        sa.Column("deployment_id", _name, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_served_flows"),
    )
    op.create_table(
        "unwritten_files",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("kind", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("replaces", sa.LargeBinary),
        sa.Column("text", sa.LargeBinary),
        sa.PrimaryKeyConstraint("flow_id", "kind", name="pk_unwritten_files"),
    )
    op.create_table(
        "flow_cases",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_flow_cases"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", _name, nullable=False),
        sa.Column("name", _name, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("flows", sa.LargeBinary),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    op.create_index("ix_tokens_digest", "tokens", ["digest"], unique=True)
    unrevoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "ix_tokens_name", "tokens", ["name"], unique=True, sqlite_where=unrevoked, postgresql_where=unrevoked
    )
    op.create_table(
        "rejected_sign_ins",
        sa.Column("id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("token", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_rejected_sign_ins"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", _name, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("operation", _name, nullable=False),
        sa.Column("flow_id", _name),
        sa.Column("flow_version", sa.Text),
        sa.Column("subject", _name),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_flow", "audit", ["flow_id", "id"])
    op.create_index("ix_audit_subject", "audit", ["subject", "id"])
