"""The tables. Migrations make them; a test holds that both say the same.

Times are microseconds since 1970 in UTC. Ids compare by byte, so that their order is the order of time on every server.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

#: Text that compares by byte. SQLite's text does by itself.
Name: Final = Text().with_variant(Text(collation="C"), "postgresql")

#: `payload` stands last and is small (`changes.INLINE`): SQLite writes a row again whole at each change of state.
executions: Final = Table(
    "executions",
    metadata,
    Column("id", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("flow_version", Text),
    #: JSON, where the server's settings replaced some when the execution started.
    Column("vars", LargeBinary),
    Column("state", Name, nullable=False),
    Column("outcome", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    #: The last entry of its journal when it was last reopened.
    Column("reopened_after", Integer, nullable=False, server_default="0"),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_step", Text),
    Column("error_retryable", Boolean(create_constraint=False)),
    Column("reason", Text),
    #: When it may be taken: as the visibility time of other queues. None while it runs, is blocked, waits for its turn
    #: or has ended.
    Column("ready_at", BigInteger),
    Column("dedupe_key", LargeBinary),
    #: SHA-256 of the key while its window is open; keys of any length and content fit an index so.
    Column("dedupe_hash", LargeBinary),
    Column("dedupe_until", BigInteger),
    Column("order_key", LargeBinary),
    #: Its place in the line of its key, in which the first one may run. None where it is in none.
    Column("order_seq", BigInteger),
    Column("order_holds", Boolean(create_constraint=False), nullable=False),
    Column("files_removed_at", BigInteger),
    #: When its time is up.
    Column("deadline_at", BigInteger),
    #: When somebody asked that it ends as cancelled.
    Column("cancel_asked_at", BigInteger),
    #: The execution that it does again.
    Column("replay_of", Name),
    #: Of one that failed: what it has in common with others that failed for the same reason.
    Column("error_cause", Name),
    #: When somebody said that a failed one needs no more care.
    Column("discarded_at", BigInteger),
    #: The key under which its redacted values are encrypted, itself encrypted; gone once they are erased.
    Column("seal_key", LargeBinary),
    #: None where it is large: then `payloads` has it.
    Column("payload", LargeBinary),
    PrimaryKeyConstraint("id", name="pk_executions"),
)


#: Says of an execution that it is a dead letter.
DEAD: Final = "error_cause IS NOT NULL AND discarded_at IS NULL"


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(
        name,
        *(executions.c[column] for column in columns),
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


_partial("ix_executions_dedupe", "flow_id", "dedupe_hash", where="dedupe_hash IS NOT NULL", unique=True)
_partial("ix_executions_order", "flow_id", "order_key", "order_seq", where="order_seq IS NOT NULL")
_partial("ix_executions_ready", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL")
# Of a flow that begins nothing new; a queued execution is never in it.
_partial("ix_executions_begun", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL AND flow_version IS NOT NULL")
_partial("ix_executions_timers", "ready_at", "id", where="state = 'waiting' AND ready_at IS NOT NULL")
# What has not ended; by state, so that the few that run are found among the many that wait.
_partial("ix_executions_open", "flow_id", "state", "id", where="finished_at IS NULL")
# A state has few outcomes, so that its executions are found in order in as many parts of the index.
_partial("ix_executions_ended", "state", "outcome", "id", where="finished_at IS NOT NULL")
_partial("ix_executions_flow_ended", "flow_id", "state", "outcome", "id", where="finished_at IS NOT NULL")
# What went wrong, which is little of what ends.
_partial("ix_executions_error", "error_code", "id", where="error_code IS NOT NULL")
_partial("ix_executions_flow_error", "flow_id", "error_code", "id", where="error_code IS NOT NULL")
# Dead letters, with all that their groups are made of.
_partial("ix_executions_dead", "flow_id", "error_cause", "id", "finished_at", where=DEAD)
# Purged ones, of which the dedupe keys are still taken.
_partial("ix_executions_spent", "dedupe_until", where="state = 'purged'")
_partial("ix_executions_sealed", "id", where="seal_key IS NOT NULL")
_partial("ix_executions_replay", "replay_of", "id", where="replay_of IS NOT NULL")
Index("ix_executions_flow", executions.c.flow_id, executions.c.id)

payloads: Final = Table(
    "payloads",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id", name="pk_payloads"),
)

journal: Final = Table(
    "journal",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("signal", Text),
    #: JSON of an `ErrorInfo`.
    Column("error", LargeBinary),
    Column("input", LargeBinary),
    Column("output", LargeBinary),
    #: The output before anything in it was masked, encrypted.
    Column("sealed", LargeBinary),
    PrimaryKeyConstraint("execution_id", "seq", name="pk_journal"),
    sqlite_with_rowid=False,
)

#: How far foreach blocks have got whose items are not kept one by one, and that have not come to their end.
progress: Final = Table(
    "progress",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("total", BigInteger, nullable=False),
    #: JSON: the ranges of the items that are done.
    Column("done", LargeBinary, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", name="pk_progress"),
    sqlite_with_rowid=False,
)

#: What the items of these gave, where it is collected.
item_results: Final = Table(
    "item_results",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("result", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", "place", name="pk_item_results"),
    sqlite_with_rowid=False,
)

flow_versions: Final = Table(
    "flow_versions",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("version", Name, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    #: When it last began to serve.
    Column("served_at", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", "version", name="pk_flow_versions"),
)

#: What operators have decided about flows, whatever their files say.
flow_overrides: Final = Table(
    "flow_overrides",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("state", Text, nullable=False),
    Column("file_state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_flow_overrides"),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("name", Name, nullable=False),
    Column("type", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("tokens", LargeBinary),
    PrimaryKeyConstraint("name", name="pk_credentials"),
)

blob_refs: Final = Table(
    "blob_refs",
    metadata,
    Column("blob_id", Name, nullable=False),
    Column("execution_id", Name, nullable=False),
    PrimaryKeyConstraint("blob_id", "execution_id", name="pk_blob_refs"),
    sqlite_with_rowid=False,
)
Index("ix_blob_refs_execution", blob_refs.c.execution_id)

#: Steps that wait for what comes from outside, of executions that have not ended.
waits: Final = Table(
    "waits",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("step_id", Name, nullable=False),
    #: SHA-256 of the key by which a call finds it; none where only its own URL does.
    Column("key_hash", LargeBinary),
    Column("opened_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", name="pk_waits"),
    sqlite_with_rowid=False,
)
Index(
    "ix_waits_key",
    waits.c.flow_id,
    waits.c.step_id,
    waits.c.key_hash,
    sqlite_where=text("key_hash IS NOT NULL"),
    postgresql_where=text("key_hash IS NOT NULL"),
)

#: What came for steps that wait, at most one for each; and what came before anybody waited.
callbacks: Final = Table(
    "callbacks",
    metadata,
    Column("id", Name, nullable=False),
    #: None while it waits for an execution that asks for its key.
    Column("execution_id", Name),
    Column("path", Name),
    Column("flow_id", Name, nullable=False),
    Column("step_id", Name, nullable=False),
    Column("key_hash", LargeBinary),
    #: Of what it says, so that a repeated one is known.
    Column("digest", LargeBinary),
    Column("at", BigInteger, nullable=False),
    #: Until when it is kept for somebody who asks for its key.
    Column("until", BigInteger),
    #: None where nothing came in time: then nothing may come any more.
    Column("payload", LargeBinary),
    PrimaryKeyConstraint("id", name="pk_callbacks"),
)
Index("ix_callbacks_step", callbacks.c.execution_id, callbacks.c.path, unique=True)
Index(
    "ix_callbacks_key",
    callbacks.c.flow_id,
    callbacks.c.step_id,
    callbacks.c.key_hash,
    sqlite_where=text("key_hash IS NOT NULL"),
    postgresql_where=text("key_hash IS NOT NULL"),
)
Index(
    "ix_callbacks_until",
    callbacks.c.until,
    sqlite_where=text("until IS NOT NULL"),
    postgresql_where=text("until IS NOT NULL"),
)

#: What steps have gathered, or gather, that the execution which leads has not taken.
batches: Final = Table(
    "batches",
    metadata,
    #: That which leads.
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("flow_version", Name, nullable=False),
    #: SHA-256 of the key while others may join.
    Column("key_hash", LargeBinary),
    Column("members", Integer, nullable=False),
    #: Bytes of all that was added.
    Column("size", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    PrimaryKeyConstraint("execution_id", "path", name="pk_batches"),
    sqlite_with_rowid=False,
)
Index(
    "ix_batches_open",
    batches.c.flow_id,
    batches.c.flow_version,
    batches.c.path,
    batches.c.key_hash,
    unique=True,
    sqlite_where=text("key_hash IS NOT NULL"),
    postgresql_where=text("key_hash IS NOT NULL"),
)

#: What each execution has added, that which leads included.
batch_members: Final = Table(
    "batch_members",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("place", Integer, nullable=False),
    Column("member_id", Name, nullable=False),
    #: JSON; none where there are none.
    Column("attachments", LargeBinary),
    #: JSON, or encrypted.
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", "place", name="pk_batch_members"),
)

#: What flows keep from one execution to the next.
state: Final = Table(
    "state",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", "key", name="pk_state"),
)

#: How far the triggers that look for themselves have got.
cursors: Final = Table(
    "cursors",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_cursors"),
)

#: What flows are subscribed to at providers, whether the flows are there or not any more.
subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    #: Encrypted.
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_subscriptions"),
)

#: Of each flow the newest `REFUSED_KEPT` requests that were rejected.
rejected: Final = Table(
    "rejected",
    metadata,
    Column("id", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("client", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("id", name="pk_rejected"),
)
Index("ix_rejected_flow", rejected.c.flow_id, rejected.c.id)

#: One row, written by a health check: a full disk shows in nothing less than a write.
pings: Final = Table(
    "pings",
    metadata,
    Column("id", Integer, nullable=False, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="pk_pings"),
)
