"""The tables. Migrations create them; a test checks that both agree.

Times are microseconds since 1970 in UTC. Ids compare by byte, so that their order is the order of time on every server.

On PostgreSQL, `executions`, `journal` and `payloads` are partitioned; `databases.history_partitions` says how.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from hookline.api_storage import BUCKETS

metadata: Final = MetaData()

#: Text that compares by byte. SQLite's text does by itself.
Name: Final = Text().with_variant(Text(collation="C"), "postgresql")

#: `payload` is the last column and small (`INLINE`): SQLite writes the whole row again at each change of state.
executions: Final = Table(
    "executions",
    metadata,
    Column("id", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("flow_version", Text),
    #: JSON of its vars, if server settings replaced some of them when the execution started.
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
    #: The time from which it may be delivered, like the visibility time of other queues. None while it runs, is
    #: blocked, waits for its turn or has ended.
    Column("ready_at", BigInteger),
    Column("dedupe_key", LargeBinary),
    #: The end of the key's window when the message was accepted; `dedupe_keys` tells which execution has the key.
    Column("dedupe_until", BigInteger),
    Column("order_key", LargeBinary),
    #: Its place in the queue of its order key, of which the first one may run. None if it is in none.
    Column("order_seq", BigInteger),
    Column("order_holds", Boolean(create_constraint=False), nullable=False),
    Column("files_removed_at", BigInteger),
    #: The time at which its timeout ends it.
    Column("deadline_at", BigInteger),
    #: The time of the request to cancel it.
    Column("cancel_asked_at", BigInteger),
    #: The execution that it replays.
    Column("replay_of", Name),
    #: The cause of its failure.
    Column("error_cause", Name),
    #: The time at which its dead letter was discarded.
    Column("discarded_at", BigInteger),
    #: The lease of the node that has claimed it or runs it, or that ran it last; NULL while it waits for any node.
    Column("owner", Name),
    #: Its encrypted data key; NULL once its redacted values are erased.
    Column("data_key", LargeBinary),
    #: It has ended, and nobody has to decide on it: purging may remove it. Each change that makes this true or false
    #: sets it. On PostgreSQL, it decides in which partition the row is.
    Column("history", Boolean(create_constraint=False), nullable=False, server_default=false()),
    #: NULL if it is large: then it is in `payloads`.
    Column("payload", LargeBinary),
    PrimaryKeyConstraint("id", name="pk_executions"),
)


#: The condition of a dead letter with a cause, as far as an index can have it.
DEAD: Final = "error_cause IS NOT NULL AND discarded_at IS NULL"
#: The condition of a blocked execution, as an index can have it; it tests for `BLOCKED`.
IS_BLOCKED: Final = "substr(reason, 1, 8) = 'blocked:'"
#: The condition of a failure that nobody has decided on; nothing of it is removed.
UNDECIDED: Final = "(executions.state = 'failed' AND executions.discarded_at IS NULL)"


class _Live(FunctionElement[bool]):
    """The condition of an execution that isn't in the history.

    PostgreSQL needs it to leave out the partitions of the history. SQLite would read the row for it.
    """

    # This and the base class give it a cache key: without one, SQLAlchemy would compile each statement with this
    # condition each time it is executed. A subclass of ColumnElement gets none.
    inherit_cache = True
    type = Boolean()


@compiles(_Live)
def _live(*_: object, **__: object) -> str:
    return "TRUE"


@compiles(_Live, "postgresql")
def _live_partition(*_: object, **__: object) -> str:
    return "NOT executions.history"


LIVE: Final = _Live()


def _partial(name: str, *columns: str, where: str) -> Index:
    condition = text(where)
    return Index(
        name,
        *(executions.c[column] for column in columns),
        sqlite_where=condition,
        postgresql_where=condition,
    )


_partial("ix_executions_order", "flow_id", "order_key", "order_seq", where="order_seq IS NOT NULL")
_partial("ix_executions_ready", "flow_id", "ready_at", "id", where="ready_at IS NOT NULL AND owner IS NULL")
# For a flow that starts no new executions; a queued execution is never in it.
_partial(
    "ix_executions_begun",
    "flow_id",
    "ready_at",
    "id",
    where="ready_at IS NOT NULL AND owner IS NULL AND flow_version IS NOT NULL",
)
# Executions that a node has claimed and doesn't run yet.
_partial("ix_executions_claimed", "owner", "flow_id", where="owner IS NOT NULL AND ready_at IS NOT NULL")
# Running executions that are to be cancelled, for the nodes that run them.
_partial(
    "ix_executions_cancelling",
    "owner",
    where="owner IS NOT NULL AND cancel_asked_at IS NOT NULL AND finished_at IS NULL",
)
_partial("ix_executions_timers", "ready_at", "id", where="state = 'waiting' AND ready_at IS NOT NULL")
# Executions that have not ended; by state, so that the few that run are found among the many that wait.
_partial("ix_executions_open", "flow_id", "state", "id", where="finished_at IS NULL")
# A state has few outcomes, so its executions are found in order in as many parts of the index.
_partial("ix_executions_ended", "state", "outcome", "id", where="finished_at IS NOT NULL")
_partial("ix_executions_flow_ended", "flow_id", "state", "outcome", "id", where="finished_at IS NOT NULL")
# Failures, which are few of all ended executions.
_partial("ix_executions_error", "error_code", "id", where="error_code IS NOT NULL")
_partial("ix_executions_flow_error", "flow_id", "error_code", "id", where="error_code IS NOT NULL")
# Dead letters, with all columns of their groups.
_partial("ix_executions_dead", "flow_id", "error_cause", "id", "finished_at", where=DEAD)
# Executions that lack something without which they can't run.
_partial("ix_executions_blocked", "flow_id", "id", where=IS_BLOCKED)
_partial("ix_executions_encrypted", "id", where="data_key IS NOT NULL")
_partial("ix_executions_replay", "replay_of", "id", where="replay_of IS NOT NULL")
Index("ix_executions_flow", executions.c.flow_id, executions.c.id)

#: The dedupe keys whose windows are open, or were lately. A key may outlive its execution.
dedupe_keys: Final = Table(
    "dedupe_keys",
    metadata,
    Column("flow_id", Name, nullable=False),
    #: SHA-256 of the key, so that keys of any length and content fit an index.
    Column("hash", LargeBinary, nullable=False),
    Column("execution_id", Name, nullable=False),
    #: The end of its window; NULL if it has none.
    Column("until", BigInteger),
    PrimaryKeyConstraint("flow_id", "hash", name="pk_dedupe_keys"),
    sqlite_with_rowid=False,
)
Index(
    "ix_dedupe_keys_until",
    dedupe_keys.c.until,
    sqlite_where=text("until IS NOT NULL"),
    postgresql_where=text("until IS NOT NULL"),
)

#: The queues of order keys that have executions. A transaction that changes such a queue locks its row first.
lines: Final = Table(
    "lines",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("order_key", LargeBinary, nullable=False),
    #: The last place that was given.
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("flow_id", "order_key", name="pk_lines"),
)

#: The nodes that serve the database, or did. Each write of a node begins by renewing its lease, which is its row.
nodes: Final = Table(
    "nodes",
    metadata,
    #: The name of the node and a random part. A node that has lost its lease gets another one.
    Column("lease", Name, nullable=False),
    Column("name", Text, nullable=False),
    #: A random text for each session: writes of an earlier session that are still on their way change nothing.
    Column("session", Text, nullable=False),
    #: Identifies the process on its host, so that its successor need not wait until the lease has run out.
    Column("process", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    #: The time until which the lease holds.
    Column("until", BigInteger, nullable=False),
    #: The microseconds by which the clock of its host is ahead.
    Column("clock_ahead", BigInteger, nullable=False, server_default="0"),
    #: The last change of `cluster` that it has adopted.
    Column("adopted", BigInteger, nullable=False, server_default="0"),
    #: The microseconds for which it goes on accepting messages after its lease has run out.
    Column("accepts_without_lease", BigInteger, nullable=False, server_default="0"),
    #: The ids of the keys that it has, separated by commas; null until it has told them.
    Column("secret_keys", Text),
    #: The time of the request to stop.
    Column("drain_asked_at", BigInteger),
    #: The time at which it stopped, or another node took over.
    Column("gone_at", BigInteger),
    #: The time at which its executions were given to others.
    Column("released_at", BigInteger),
    #: A blob that it has stored when it started, for nodes of other hosts to read.
    Column("probe", Text),
    #: The answer of such a node.
    Column("probe_read", Boolean(create_constraint=False)),
    #: The name of its intake queue; empty if it has none, and null if its release doesn't tell.
    Column("queue", Text),
    PrimaryKeyConstraint("lease", name="pk_nodes"),
)

#: One row, about all nodes.
cluster: Final = Table(
    "cluster",
    metadata,
    Column("id", Integer, nullable=False, autoincrement=False),
    #: Counts the changes that each node has to adopt: deployments, states of flows, credentials, captures, the first
    #: key.
    Column("changes", BigInteger, nullable=False),
    #: The id of the key that encrypts; null until the first node has told of its keys.
    Column("first_key", Text),
    #: The SHA-256 of the server's own token.
    Column("admin_token", LargeBinary),
    #: The oldest release of Hookline that may use the tables.
    Column("oldest_release", Text),
    #: The blob that marks the blob store of all nodes.
    Column("blob_mark", Text),
    #: The id of the database, which names the cookies of its sessions.
    Column("instance_id", Text),
    #: The id of the last move of waits to a clock that was set.
    Column("last_move", Text),
    PrimaryKeyConstraint("id", name="pk_cluster"),
)

#: The keys that encrypt what is stored.
secret_keys: Final = Table(
    "secret_keys",
    metadata,
    Column("id", Name, nullable=False),
    Column("since", BigInteger, nullable=False),
    #: The time since which nothing needs it.
    Column("retired_at", BigInteger),
    PrimaryKeyConstraint("id", name="pk_secret_keys"),
)

#: Work that one node does for all. It is free when the node that has it is gone.
duties: Final = Table(
    "duties",
    metadata,
    Column("name", Name, nullable=False),
    #: The lease of the node.
    Column("owner", Name, nullable=False),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", name="pk_duties"),
)

#: The parts of the rates of flows, and their nodes. A transaction that moves some first locks the row without a node.
rate_parts: Final = Table(
    "rate_parts",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("rate", Name, nullable=False),
    #: The lease of the node; empty for the parts that no node has.
    Column("lease", Name, nullable=False),
    Column("parts", Integer, nullable=False),
    #: The time from which the parts that no node has allow a message again, as their mean.
    Column("ready_at", BigInteger, nullable=False),
    #: The parts that the node needed when it wrote the row.
    Column("need", Double, nullable=False),
    #: The time at which it asked for more.
    Column("asked_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("flow_id", "rate", "lease", name="pk_rate_parts"),
)

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
    #: The output before it was masked, encrypted.
    Column("encrypted", LargeBinary),
    PrimaryKeyConstraint("execution_id", "seq", name="pk_journal"),
    sqlite_with_rowid=False,
)

#: The progress of unfinished foreach blocks whose items are checkpointed together.
progress: Final = Table(
    "progress",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("total", BigInteger, nullable=False),
    #: JSON of the ranges of finished items.
    Column("done", LargeBinary, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", name="pk_progress"),
    sqlite_with_rowid=False,
)

#: The results of the items of these blocks, if they are collected.
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
    #: The time since which it serves, or served last.
    Column("served_at", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", "version", name="pk_flow_versions"),
)

#: Operators' overrides of the states in flow files.
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
    #: JSON of a list of patterns; NULL for all flows.
    Column("flows", LargeBinary),
    #: JSON of a list; NULL for none.
    Column("hosts", LargeBinary),
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

#: The tags of executions. Order keys are among them, without a name.
tags: Final = Table(
    "tags",
    metadata,
    Column("name", Name, nullable=False),
    Column("value", Name, nullable=False),
    Column("execution_id", Name, nullable=False),
    PrimaryKeyConstraint("name", "value", "execution_id", name="pk_tags"),
    sqlite_with_rowid=False,
)
Index("ix_tags_execution", tags.c.execution_id)

#: Steps that wait for callbacks, of executions that have not ended.
waits: Final = Table(
    "waits",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("step_id", Name, nullable=False),
    #: SHA-256 of the key by which a callback finds it; NULL if only its resume URL does.
    Column("key_hash", LargeBinary),
    Column("opened_at", BigInteger, nullable=False),
    #: The time from which it has waited too long.
    Column("late_at", BigInteger),
    #: JSON of the page that a person sees at its URL, or its encrypted form; NULL if it has none.
    Column("page", LargeBinary),
    PrimaryKeyConstraint("execution_id", "path", name="pk_waits"),
    sqlite_with_rowid=False,
)
Index(
    "ix_waits_late",
    waits.c.flow_id,
    waits.c.late_at,
    sqlite_where=text("late_at IS NOT NULL"),
    postgresql_where=text("late_at IS NOT NULL"),
)
Index(
    "ix_waits_key",
    waits.c.flow_id,
    waits.c.step_id,
    waits.c.key_hash,
    sqlite_where=text("key_hash IS NOT NULL"),
    postgresql_where=text("key_hash IS NOT NULL"),
)

#: Callbacks of waiting steps, at most one for each, and early callbacks.
callbacks: Final = Table(
    "callbacks",
    metadata,
    Column("id", Name, nullable=False),
    #: NULL while no execution waits with its key.
    Column("execution_id", Name),
    Column("path", Name),
    Column("flow_id", Name, nullable=False),
    Column("step_id", Name, nullable=False),
    Column("key_hash", LargeBinary),
    #: The digest of its content, by which a repetition is recognized.
    Column("digest", LargeBinary),
    Column("at", BigInteger, nullable=False),
    #: The time until which an early callback is kept.
    Column("until", BigInteger),
    #: NULL if none came in time: then none is accepted any more.
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

#: Batches that their leaders have not taken yet.
batches: Final = Table(
    "batches",
    metadata,
    #: The leader.
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("flow_id", Name, nullable=False),
    Column("flow_version", Name, nullable=False),
    #: SHA-256 of the key while the batch is open.
    Column("key_hash", LargeBinary),
    Column("members", Integer, nullable=False),
    #: The bytes of all items.
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

#: The items of batches, including those of the leaders.
batch_members: Final = Table(
    "batch_members",
    metadata,
    Column("execution_id", Name, nullable=False),
    Column("path", Name, nullable=False),
    Column("place", Integer, nullable=False),
    Column("member_id", Name, nullable=False),
    #: JSON; NULL if there are none.
    Column("attachments", LargeBinary),
    #: JSON, or encrypted.
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id", "path", "place", name="pk_batch_members"),
)

#: Ids of messages that proved to be duplicates after their senders had got them, with the executions that they mean.
execution_aliases: Final = Table(
    "execution_aliases",
    metadata,
    Column("alias", Name, nullable=False),
    Column("execution_id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("alias", name="pk_execution_aliases"),
)
Index("ix_execution_aliases_execution", execution_aliases.c.execution_id)

#: Stored values of flows.
state: Final = Table(
    "state",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", "key", name="pk_state"),
)

#: Cursors of sources.
cursors: Final = Table(
    "cursors",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_cursors"),
)

#: Subscriptions with providers, also of flows that no longer exist.
subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    #: Encrypted.
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_subscriptions"),
)

#: The newest `MAX_REJECTED_KEPT` rejected requests of each flow.
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

#: The columns of numbers that are added up: `queue_age`, in microseconds, is the largest one instead.
COUNTED: Final = (
    "accepted",
    "rejected",
    "succeeded",
    "failed",
    "cancelled",
    *(f"latency_{bucket}" for bucket in range(BUCKETS)),
)


def _counts() -> Iterator[Column[int]]:
    yield Column("queue_age", BigInteger, nullable=False)
    for name in COUNTED:
        yield Column(name, BigInteger, nullable=False)


#: The numbers of each flow by the minute. Each node writes rows of its own, and writes them again as it counts.
statistics_minutes: Final = Table(
    "statistics_minutes",
    metadata,
    Column("flow_id", Name, nullable=False),
    #: The beginning of the minute.
    Column("at", BigInteger, nullable=False),
    Column("node", Name, nullable=False),
    *_counts(),
    PrimaryKeyConstraint("flow_id", "at", "node", name="pk_statistics_minutes"),
    sqlite_with_rowid=False,
)
Index("ix_statistics_minutes_at", statistics_minutes.c.at)

#: The numbers of earlier minutes, of all nodes, by the hour.
statistics_hours: Final = Table(
    "statistics_hours",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    *_counts(),
    PrimaryKeyConstraint("flow_id", "at", name="pk_statistics_hours"),
    sqlite_with_rowid=False,
)
Index("ix_statistics_hours_at", statistics_hours.c.at)

#: Problems that nodes have now: each has rows of its own, and writes them again from time to time.
node_problems: Final = Table(
    "node_problems",
    metadata,
    Column("node", Name, nullable=False),
    Column("place", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    #: The id of a flow, or the name of a plugin.
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    #: The time of the report.
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("node", "place", name="pk_node_problems"),
)

#: Changes of the set of flows that are served.
deployments: Final = Table(
    "deployments",
    metadata,
    Column("id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    #: The text of an actor, and its address.
    Column("author", Name, nullable=False),
    Column("address", Text),
    Column("message", Text),
    Column("rollback_of", Name),
    PrimaryKeyConstraint("id", name="pk_deployments"),
)

#: The flows that each deployment changed.
deployed_flows: Final = Table(
    "deployed_flows",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("deployment_id", Name, nullable=False),
    #: NULL if the flow was deleted.
    Column("version", Name),
    Column("before", Name),
    PrimaryKeyConstraint("flow_id", "deployment_id", name="pk_deployed_flows"),
)
Index("ix_deployed_flows_deployment", deployed_flows.c.deployment_id)

#: The flows that are served.
served_flows: Final = Table(
    "served_flows",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("version", Name, nullable=False),
    Column("deployment_id", Name, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_served_flows"),
)

#: Texts that are still to be written to the folder of the flows.
unwritten_files: Final = Table(
    "unwritten_files",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    #: SHA-256 of the text that is replaced.
    Column("replaces", LargeBinary),
    #: NULL if the file is to be deleted.
    Column("text", LargeBinary),
    PrimaryKeyConstraint("flow_id", "kind", name="pk_unwritten_files"),
)

#: Test cases of flows that are served from the database, and of deleted flows.
flow_cases: Final = Table(
    "flow_cases",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("text", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_flow_cases"),
)

#: Tokens of the admin API, also those that aren't valid any more.
tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", Name, nullable=False),
    Column("name", Name, nullable=False),
    #: SHA-256 of the secret.
    Column("digest", LargeBinary, nullable=False),
    #: Separated by blanks.
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger),
    #: JSON of a list; NULL for all flows.
    Column("flows", LargeBinary),
    Column("revoked_at", BigInteger),
    PrimaryKeyConstraint("id", name="pk_tokens"),
)
Index("ix_tokens_digest", tokens.c.digest, unique=True)
Index(
    "ix_tokens_name",
    tokens.c.name,
    unique=True,
    sqlite_where=text("revoked_at IS NULL"),
    postgresql_where=text("revoked_at IS NULL"),
)

#: Sign-ins to the console, until they are ended or have expired.
sessions: Final = Table(
    "sessions",
    metadata,
    #: SHA-256 of the secret.
    Column("digest", LargeBinary, nullable=False),
    Column("id", Name, nullable=False),
    #: SHA-256 of the secret of the token.
    Column("token", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest", name="pk_sessions"),
)
Index("ix_sessions_expires_at", sessions.c.expires_at)

#: One-time codes, until they are used or have expired.
sign_in_codes: Final = Table(
    "sign_in_codes",
    metadata,
    #: SHA-256 of the code.
    Column("digest", LargeBinary, nullable=False),
    Column("id", Name, nullable=False),
    #: SHA-256 of the secret of the token.
    Column("token", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("session_expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest", name="pk_sign_in_codes"),
)
Index("ix_sign_in_codes_expires_at", sign_in_codes.c.expires_at)

#: The newest `MAX_SIGN_INS_KEPT` requests whose tokens weren't valid.
rejected_sign_ins: Final = Table(
    "rejected_sign_ins",
    metadata,
    Column("id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("token", Text),
    PrimaryKeyConstraint("id", name="pk_rejected_sign_ins"),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    #: The text of an actor.
    Column("actor", Name, nullable=False),
    Column("address", Text),
    Column("operation", Name, nullable=False),
    Column("flow_id", Name),
    Column("flow_version", Text),
    Column("subject", Name),
    Column("detail", Text),
    PrimaryKeyConstraint("id", name="pk_audit"),
)
Index("ix_audit_flow", audit.c.flow_id, audit.c.id)
Index("ix_audit_subject", audit.c.subject, audit.c.id)

#: Drafts of flows, which aren't served.
drafts: Final = Table(
    "drafts",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("version", Name, nullable=False),
    Column("base", Text),
    Column("updated_at", BigInteger, nullable=False),
    #: The text of an actor.
    Column("author", Text, nullable=False),
    Column("address", Text),
    Column("size", BigInteger, nullable=False),
    Column("text", LargeBinary, nullable=False),
    PrimaryKeyConstraint("flow_id", name="pk_drafts"),
)

captures: Final = Table(
    "captures",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    #: The text of an actor.
    Column("actor", Text, nullable=False),
    Column("address", Text),
    PrimaryKeyConstraint("flow_id", name="pk_captures"),
)

captured_requests: Final = Table(
    "captured_requests",
    metadata,
    Column("flow_id", Name, nullable=False),
    Column("id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    #: JSON of a `CapturedInfo`.
    Column("info", LargeBinary, nullable=False),
    #: JSON.
    Column("headers", LargeBinary, nullable=False),
    Column("query", LargeBinary, nullable=False),
    Column("body", LargeBinary),
    Column("left_out", Text),
    PrimaryKeyConstraint("flow_id", "id", name="pk_captured_requests"),
)
Index("ix_captured_requests_at", captured_requests.c.at)

#: One row, written by a health check: only a write shows that the disk is full.
pings: Final = Table(
    "pings",
    metadata,
    Column("id", Integer, nullable=False, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="pk_pings"),
)
