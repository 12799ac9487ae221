"""Make the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _partial(name: str, *columns: str, where: str, table: str = "executions", unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    op.create_table(
        "executions",
        sa.Column("id", _name, nullable=False),
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("flow_version", sa.Text),
        sa.Column("vars", sa.LargeBinary),
        sa.Column("state", _name, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reopened_after", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_step", sa.Text),
        sa.Column("error_retryable", sa.Boolean(create_constraint=False)),
        sa.Column("reason", sa.Text),
        sa.Column("ready_at", sa.BigInteger),
        sa.Column("dedupe_key", sa.LargeBinary),
        sa.Column("dedupe_hash", sa.LargeBinary),
        sa.Column("dedupe_until", sa.BigInteger),
        sa.Column("order_key", sa.LargeBinary),
        sa.Column("order_seq", sa.BigInteger),
        sa.Column("order_holds", sa.Boolean, nullable=False),
        sa.Column("files_removed_at", sa.BigInteger),
        sa.Column("deadline_at", sa.BigInteger),
        sa.Column("cancel_asked_at", sa.BigInteger),
        sa.Column("replay_of", _name),
        sa.Column("error_cause", _name),
        sa.Column("discarded_at", sa.BigInteger),
        sa.Column("data_key", sa.LargeBinary),
        sa.Column("payload", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
    )
    _partial("ix_executions_dedupe", "flow_id", "dedupe_hash", where="dedupe_hash IS NOT NULL", unique=True)
    _partial("ix_executions_order", "flow_id", "order_key", "order_seq", where="order_seq IS NOT NULL")
    _partial("ix_executions_ready", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL")
    _partial("ix_executions_timers", "ready_at", "id", where="state = 'waiting' AND ready_at IS NOT NULL")
    _partial(
        "ix_executions_begun", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL AND flow_version IS NOT NULL"
    )
    _partial("ix_executions_open", "flow_id", "state", "id", where="finished_at IS NULL")
    _partial("ix_executions_ended", "state", "outcome", "id", where="finished_at IS NOT NULL")
    _partial("ix_executions_flow_ended", "flow_id", "state", "outcome", "id", where="finished_at IS NOT NULL")
    _partial("ix_executions_error", "error_code", "id", where="error_code IS NOT NULL")
    _partial("ix_executions_flow_error", "flow_id", "error_code", "id", where="error_code IS NOT NULL")
    dead = "error_cause IS NOT NULL AND discarded_at IS NULL"
    _partial("ix_executions_dead", "flow_id", "error_cause", "id", "finished_at", where=dead)
    _partial("ix_executions_spent", "dedupe_until", where="state = 'purged'")
    _partial("ix_executions_encrypted", "id", where="data_key IS NOT NULL")
    _partial("ix_executions_replay", "replay_of", "id", where="replay_of IS NOT NULL")
    op.create_index("ix_executions_flow", "executions", ["flow_id", "id"])

    op.create_table(
        "payloads",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name="pk_payloads"),
    )
    op.create_table(
        "journal",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("step_id", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("use", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("signal", sa.Text),
        sa.Column("error", sa.LargeBinary),
        sa.Column("input", sa.LargeBinary),
        sa.Column("output", sa.LargeBinary),
        sa.Column("encrypted", sa.LargeBinary),
        sa.PrimaryKeyConstraint("execution_id", "seq", name="pk_journal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "progress",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("path", _name, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("done", sa.LargeBinary, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "path", name="pk_progress"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "item_results",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("path", _name, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("result", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "path", "place", name="pk_item_results"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flow_versions",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("version", _name, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("served_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "version", name="pk_flow_versions"),
    )
    op.create_table(
        "flow_overrides",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("file_state", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_flow_overrides"),
    )
    op.create_table(
        "credentials",
        sa.Column("name", _name, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.LargeBinary),
        sa.PrimaryKeyConstraint("name", name="pk_credentials"),
    )
    op.create_table(
        "blob_refs",
        sa.Column("blob_id", _name, nullable=False),
        sa.Column("execution_id", _name, nullable=False),
        sa.PrimaryKeyConstraint("blob_id", "execution_id", name="pk_blob_refs"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blob_refs_execution", "blob_refs", ["execution_id"])
    op.create_table(
        "waits",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("path", _name, nullable=False),
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("step_id", _name, nullable=False),
        sa.Column("key_hash", sa.LargeBinary),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "path", name="pk_waits"),
        sqlite_with_rowid=False,
    )
    _partial("ix_waits_key", "flow_id", "step_id", "key_hash", table="waits", where="key_hash IS NOT NULL")
    op.create_table(
        "callbacks",
        sa.Column("id", _name, nullable=False),
        sa.Column("execution_id", _name),
        sa.Column("path", _name),
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("step_id", _name, nullable=False),
        sa.Column("key_hash", sa.LargeBinary),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("payload", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_callbacks"),
    )
    op.create_index("ix_callbacks_step", "callbacks", ["execution_id", "path"], unique=True)
    _partial("ix_callbacks_key", "flow_id", "step_id", "key_hash", table="callbacks", where="key_hash IS NOT NULL")
    _partial("ix_callbacks_until", "until", table="callbacks", where="until IS NOT NULL")
    op.create_table(
        "batches",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("path", _name, nullable=False),
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("flow_version", _name, nullable=False),
        sa.Column("key_hash", sa.LargeBinary),
        sa.Column("members", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("execution_id", "path", name="pk_batches"),
        sqlite_with_rowid=False,
    )
    _partial(
        "ix_batches_open",
        "flow_id",
        "flow_version",
        "path",
        "key_hash",
        table="batches",
        where="key_hash IS NOT NULL",
        unique=True,
    )
    op.create_table(
        "batch_members",
        sa.Column("execution_id", _name, nullable=False),
        sa.Column("path", _name, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("member_id", _name, nullable=False),
        sa.Column("attachments", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "path", "place", name="pk_batch_members"),
    )
    op.create_table(
        "state",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("key", _name, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "key", name="pk_state"),
    )
    op.create_table(
        "cursors",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_cursors"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="pk_subscriptions"),
    )
    op.create_table(
        "rejected",
        sa.Column("id", _name, nullable=False),
        sa.Column("flow_id", _name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("client", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_rejected"),
    )
    op.create_index("ix_rejected_flow", "rejected", ["flow_id", "id"])
    op.create_table(
        "pings",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pings"),
    )
