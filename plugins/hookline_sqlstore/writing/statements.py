"""The statements of all changes.

Joins are written as CROSS JOIN because SQLite keeps the order of one: from the few rows to the many.
"""

from typing import Final

from hookline.api_storage import BLOCKED, MAX_REJECTED_KEPT, ORDER, TRANSITIONS, UNTIL, State
from hookline_sqlstore.dialect import Statement
from hookline_sqlstore.tables import UNDECIDED
from hookline_sqlstore.writing import access, deployments, drafts_and_captures, node_agreements
from hookline_sqlstore.writing.accepting import release_keys, serves, take_keys
from hookline_sqlstore.writing.batch_joining import join
from hookline_sqlstore.writing.callbacks import call_back, claim, tell_cancelled, time_out
from hookline_sqlstore.writing.flow_state_counters import count
from hookline_sqlstore.writing.limit_parts import move_limit_parts
from hookline_sqlstore.writing.node_agreements import (
    adopt,
    answer_probe,
    ask_for_probe,
    claim_ready,
    give_duty,
    leave,
    release,
    set_blob_mark,
    take_duties,
    take_over,
)


def _from(target: State) -> str:
    """SQL: the states from which an execution may go to `target`."""
    return ", ".join(f"'{state}'" for state in State if target in TRANSITIONS[state])


_ENDS: Final = " OR ".join(
    f"(v.state = '{end}' AND executions.state IN ({_from(end)}))"
    for end in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
)

#: A statement of its own, so that other messages don't pay for it.
REPLAYS: Final = Statement(
    "replay",
    (("id", "text"), ("replay_of", "text")),
    "UPDATE executions SET replay_of = v.replay_of FROM {v} WHERE executions.id = v.id AND {live}",
)

#: An execution that was purged has no aliases.
KEEP_ALIAS: Final = Statement(
    "alias",
    (("alias", "text"), ("execution_id", "text"), ("at", "bigint")),
    "INSERT INTO execution_aliases (alias, execution_id, at) SELECT v.alias, v.execution_id, v.at"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id ON CONFLICT DO NOTHING",
    counted=False,
)

# These two join the execution, so that a duplicate, which has none, writes nothing.
KEEP_PAYLOAD: Final = Statement(
    "keep",
    (("execution_id", "text"), ("payload", "bytea")),
    "INSERT INTO payloads (execution_id, payload) SELECT v.execution_id, v.payload"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live} ON CONFLICT DO NOTHING",
    counted=False,
)
REFER: Final = Statement(
    "refer",
    (("execution_id", "text"), ("blob_id", "text")),
    "INSERT INTO blob_refs (blob_id, execution_id) SELECT v.blob_id, v.execution_id"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live} ON CONFLICT DO NOTHING",
    counted=False,
    repeated=True,
)

#: Also from waiting, if it was parked before its first step: only a start binds the version of the flow.
START: Final = Statement(
    "start",
    (
        ("id", "text"),
        ("flow_version", "text"),
        ("vars", "bytea"),
        ("at", "bigint"),
        ("deadline_at", "bigint"),
        ("serving", "boolean"),
    ),
    "UPDATE executions SET state = 'running', flow_version = v.flow_version, vars = v.vars, started_at = v.at,"  # noqa: S608 - our own names
    " deadline_at = v.deadline_at,"
    " ready_at = NULL, reason = NULL, owner = {me} FROM {v} WHERE executions.id = v.id AND {live}"
    " AND executions.state IN ('queued', 'waiting') AND executions.flow_version IS NULL AND {free}"
    f" AND {serves('executions.flow_id')}",
)

#: Also from running: an execution that ran when the process died is resumed.
RESUME: Final = Statement(
    "resume",
    (("id", "text"), ("flow_version", "text"), ("deadline_at", "bigint")),
    "UPDATE executions SET state = 'running', ready_at = NULL, reason = NULL, owner = {me},"
    " deadline_at = coalesce(v.deadline_at, executions.deadline_at) FROM {v}"
    " WHERE executions.id = v.id AND {live} AND executions.state IN ('waiting', 'running') AND {free}"
    " AND (v.flow_version IS NULL OR executions.flow_version = v.flow_version)",
)

#: Ready at once, unless another goes first, since the new version may wait for something else.
REBIND: Final = Statement(
    "rebind",
    (("id", "text"), ("flow_version", "text"), ("at", "bigint"), ("last_seq", "bigint"), ("vars", "bytea")),
    "UPDATE executions SET flow_version = v.flow_version, vars = v.vars,"
    " ready_at = CASE WHEN executions.reason = '{order}' THEN executions.ready_at ELSE v.at END FROM {v}"
    " WHERE executions.id = v.id AND {live} AND executions.state = 'waiting' AND executions.flow_version IS NOT NULL"
    " AND executions.cancel_asked_at IS NULL AND v.last_seq ="
    " (SELECT coalesce(max(journal.seq), 0) FROM journal WHERE journal.execution_id = v.id)".replace("{order}", ORDER),
)

#: By any node, since nobody else changes an entry of a reply.
MARK_DELIVERED: Final = Statement(
    "delivered",
    (("execution_id", "text"), ("seq", "bigint"), ("before", "bytea"), ("output", "bytea")),
    "UPDATE journal SET output = v.output FROM {v} WHERE journal.execution_id = v.execution_id AND journal.seq = v.seq"
    " AND journal.output = v.before",
    counted=False,
    repeated=True,
)

RECORD: Final = Statement(
    "record",
    (
        ("execution_id", "text"),
        ("seq", "bigint"),
        ("step_id", "text"),
        ("path", "text"),
        ("used", "text"),
        ("state", "text"),
        ("attempt", "bigint"),
        ("started_at", "bigint"),
        ("finished_at", "bigint"),
        ("due_at", "bigint"),
        ("signal", "text"),
        ("error", "bytea"),
        ("input", "bytea"),
        ("output", "bytea"),
        ("encrypted", "bytea"),
    ),
    'INSERT INTO journal (execution_id, seq, step_id, path, "use", state, attempt, started_at, finished_at, due_at,'
    " signal, error, input, output, encrypted)"
    " SELECT v.execution_id, v.seq, v.step_id, v.path, v.used, v.state, v.attempt, v.started_at, v.finished_at,"
    " v.due_at, v.signal, v.error, v.input, v.output, v.encrypted"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live}"
    " AND executions.state = 'running' AND {mine} ON CONFLICT DO NOTHING",
    repeated=True,
)

CHECKPOINT_ITEMS: Final = Statement(
    "checkpoint_items",
    (
        ("execution_id", "text"),
        ("path", "text"),
        ("total", "bigint"),
        ("done", "bytea"),
        ("failed", "bigint"),
        ("at", "bigint"),
    ),
    "INSERT INTO progress (execution_id, path, total, done, failed, at)"
    " SELECT v.execution_id, v.path, v.total, v.done, v.failed, v.at"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live}"
    " AND executions.state = 'running' AND {mine} ON CONFLICT (execution_id, path) DO UPDATE"
    " SET total = excluded.total, done = excluded.done, failed = excluded.failed, at = excluded.at",
    repeated=True,
)
KEEP_RESULT: Final = Statement(
    "checkpoint_items",
    (("execution_id", "text"), ("path", "text"), ("place", "bigint"), ("result", "bytea")),
    "INSERT INTO item_results (execution_id, path, place, result)"
    " SELECT v.execution_id, v.path, v.place, v.result FROM {v} WHERE v.execution_id IS NOT NULL"
    " ON CONFLICT DO NOTHING",
    counted=False,
    repeated=True,
)
DROP_ENTRIES: Final = Statement(
    "checkpoint_items",
    (("execution_id", "text"), ("seq", "bigint")),
    "DELETE FROM journal WHERE (execution_id, seq) IN"
    " (SELECT v.execution_id, v.seq FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)
FINISH_BLOCK: Final = Statement(
    "finish_block",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM progress WHERE (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)
DROP_RESULTS: Final = Statement(
    "finish_block",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM item_results WHERE (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)

#: It is ready at once if a callback of one of its steps has come meanwhile, if a batch that it leads was closed, or if
#: it is to be cancelled and doesn't know.
PARK: Final = Statement(
    "park",
    (
        ("id", "text"),
        ("at", "bigint"),
        ("ready_at", "bigint"),
        ("reason", "text"),
        ("cancelling", "bigint"),
        ("unloaded", "bigint"),
    ),
    "UPDATE executions SET state = 'waiting', reason = v.reason, owner = NULL,"
    " ready_at = CASE WHEN (v.cancelling = 0 AND executions.cancel_asked_at IS NOT NULL)"
    " OR (v.unloaded = 0 AND (EXISTS (SELECT 1 FROM waits, callbacks WHERE waits.execution_id = v.id"
    " AND callbacks.execution_id = waits.execution_id AND callbacks.path = waits.path)"
    " OR EXISTS (SELECT 1 FROM batches WHERE batches.execution_id = v.id AND batches.key_hash IS NULL)))"
    " THEN v.at ELSE v.ready_at END FROM {v} WHERE executions.id = v.id AND {live}"
    " AND executions.state IN ('queued', 'running') AND {free}",
)

#: An execution that never ran ends here; all others end themselves, since their blocks may have to run steps.
CANCEL: Final = Statement(
    "cancel",
    (("id", "text"), ("at", "bigint")),
    "UPDATE executions SET cancel_asked_at = coalesce(executions.cancel_asked_at, v.at),"
    " state = CASE WHEN executions.state = 'queued' THEN 'cancelled' ELSE executions.state END,"
    " outcome = CASE WHEN executions.state = 'queued' THEN 'cancelled' END,"
    " finished_at = CASE WHEN executions.state = 'queued' THEN v.at END,"
    " data_key = CASE WHEN executions.state <> 'queued' THEN executions.data_key END,"
    " order_seq = CASE WHEN executions.state <> 'queued' THEN executions.order_seq END,"
    " reason = CASE WHEN executions.state <> 'queued' THEN executions.reason END,"
    " ready_at = CASE WHEN executions.state = 'waiting' THEN v.at"
    " WHEN executions.state <> 'queued' THEN executions.ready_at END,"
    " history = (executions.state = 'queued')"
    " FROM {v} WHERE executions.id = v.id AND {live} AND executions.finished_at IS NULL",
)

# --- Waiting steps ---------------------------------------------------------------------------------------------------

BEGIN_WAIT: Final = Statement(
    "begin_wait",
    (
        ("execution_id", "text"),
        ("path", "text"),
        ("flow_id", "text"),
        ("step_id", "text"),
        ("key_hash", "bytea"),
        ("at", "bigint"),
        ("late_at", "bigint"),
        ("page", "bytea"),
    ),
    "INSERT INTO waits (execution_id, path, flow_id, step_id, key_hash, opened_at, late_at, page)"
    " SELECT v.execution_id, v.path, v.flow_id, v.step_id, v.key_hash, v.at, v.late_at, v.page"
    " FROM {v} WHERE v.execution_id IS NOT NULL ON CONFLICT DO NOTHING",
    counted=False,
    repeated=True,
)

#: Removes the timeout of an earlier wait.
FORGET_TIMEOUT: Final = Statement(
    "begin_wait",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM callbacks WHERE payload IS NULL AND (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)

END_WAIT: Final = Statement(
    "end_wait",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM waits WHERE (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)

#: An execution that has ended waits for nothing.
DROP_WAITS: Final = Statement(
    "end",
    (("execution_id", "text"),),
    "DELETE FROM waits WHERE execution_id IN (SELECT v.execution_id FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
)

FORGET_CALLBACKS: Final = Statement(
    "forget",
    (("execution_id", "text"),),
    "DELETE FROM callbacks WHERE execution_id IN (SELECT executions.id FROM {v} CROSS JOIN executions"
    " WHERE executions.id = v.execution_id AND executions.history)",
    counted=False,
)

#: An early callback refers to its files by its own id.
DROP_EARLY_REFERENCES: Final = Statement(
    "forget",
    (("at", "bigint"),),
    "DELETE FROM blob_refs WHERE execution_id IN (SELECT callbacks.id FROM {v} CROSS JOIN callbacks"
    " WHERE callbacks.until IS NOT NULL AND callbacks.until <= v.at)",
    counted=False,
)
FORGET_EARLY: Final = Statement(
    "forget",
    (("at", "bigint"),),
    "DELETE FROM callbacks WHERE id IN (SELECT early.id FROM {v} CROSS JOIN callbacks AS early"
    " WHERE early.until IS NOT NULL AND early.until <= v.at)",
    counted=False,
)

CLAIM: Final = Statement("begin_wait", procedure=claim)
CALL_BACK: Final = Statement("callback", procedure=call_back)
TELL_CANCELLED: Final = Statement("callback", procedure=tell_cancelled)
TIME_OUT: Final = Statement("callback", procedure=time_out)

# --- Steps that gather -----------------------------------------------------------------------------------------------

#: The entry of the step was written by the statement before.
JOIN: Final = Statement("join", procedure=join)

CLOSE_BATCH: Final = Statement(
    "close",
    (("execution_id", "text"), ("path", "text")),
    "UPDATE batches SET key_hash = NULL FROM {v} WHERE batches.execution_id = v.execution_id AND batches.path = v.path",
    counted=False,
    repeated=True,
)

#: Nobody joins an execution that has ended.
CLOSE_BATCHES: Final = Statement(
    "end",
    (("execution_id", "text"),),
    "UPDATE batches SET key_hash = NULL FROM {v} WHERE batches.execution_id = v.execution_id",
    counted=False,
)

TAKE_MEMBERS: Final = Statement(
    "take",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM batch_members WHERE (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)
TAKE_BATCH: Final = Statement(
    "take",
    (("execution_id", "text"), ("path", "text")),
    "DELETE FROM batches WHERE (execution_id, path) IN"
    " (SELECT v.execution_id, v.path FROM {v} WHERE v.execution_id IS NOT NULL)",
    counted=False,
    repeated=True,
)

# --- What flows and triggers keep ------------------------------------------------------------------------------------

SET_STATE: Final = Statement(
    "state",
    (("flow_id", "text"), ("key", "text"), ("at", "bigint"), ("value", "bytea")),
    "INSERT INTO state (flow_id, key, updated_at, value) SELECT v.flow_id, v.key, v.at, v.value"
    " FROM {v} WHERE v.flow_id IS NOT NULL"
    " ON CONFLICT (flow_id, key) DO UPDATE SET updated_at = excluded.updated_at, value = excluded.value",
    counted=False,
)

DROP_STATE: Final = Statement(
    "state",
    (("flow_id", "text"), ("key", "text")),
    "DELETE FROM state WHERE (flow_id, key) IN (SELECT v.flow_id, v.key FROM {v} WHERE v.flow_id IS NOT NULL)",
    counted=False,
)

#: The entry of the step was written by the statement before.
ADD_STATE: Final = Statement("state", procedure=count)

SET_CURSOR: Final = Statement(
    "cursor",
    (("flow_id", "text"), ("at", "bigint"), ("value", "bytea")),
    "INSERT INTO cursors (flow_id, updated_at, value) SELECT v.flow_id, v.at, v.value"
    " FROM {v} WHERE v.flow_id IS NOT NULL"
    " ON CONFLICT (flow_id) DO UPDATE SET updated_at = excluded.updated_at, value = excluded.value",
    counted=False,
)

SET_SUBSCRIPTION: Final = Statement(
    "subscription",
    (("flow_id", "text"), ("at", "bigint"), ("value", "bytea")),
    "INSERT INTO subscriptions (flow_id, updated_at, value) SELECT v.flow_id, v.at, v.value"
    " FROM {v} WHERE v.flow_id IS NOT NULL"
    " ON CONFLICT (flow_id) DO UPDATE SET updated_at = excluded.updated_at, value = excluded.value",
    counted=False,
)

DROP_SUBSCRIPTION: Final = Statement(
    "subscription",
    (("flow_id", "text"),),
    "DELETE FROM subscriptions WHERE flow_id IN (SELECT v.flow_id FROM {v} WHERE v.flow_id IS NOT NULL)",
    counted=False,
)

REENCRYPT_CALLBACK: Final = Statement(
    "reencrypt",
    (("id", "text"), ("payload", "bytea"), ("was", "bytea")),
    "UPDATE callbacks SET payload = v.payload FROM {v} WHERE callbacks.id = v.id AND callbacks.payload = v.was",
    counted=False,
)

REENCRYPT_BATCH_ITEM: Final = Statement(
    "reencrypt",
    (("execution_id", "text"), ("path", "text"), ("place", "integer"), ("body", "bytea"), ("was", "bytea")),
    "UPDATE batch_members SET body = v.body FROM {v}"
    " WHERE batch_members.execution_id = v.execution_id AND batch_members.path = v.path"
    " AND batch_members.place = v.place AND batch_members.body = v.was",
    counted=False,
)

REENCRYPT_SUBSCRIPTION: Final = Statement(
    "subscription",
    (("flow_id", "text"), ("value", "bytea"), ("was", "bytea")),
    "UPDATE subscriptions SET value = v.value FROM {v}"
    " WHERE subscriptions.flow_id = v.flow_id AND subscriptions.value = v.was",
    counted=False,
)

UNBLOCK: Final = Statement(
    "unblock",
    (("flow_id", "text"), ("at", "bigint")),
    "UPDATE executions SET ready_at = v.at FROM {v} WHERE executions.flow_id = v.flow_id"
    " AND {live} AND executions.finished_at IS NULL AND executions.state = 'waiting'"
    " AND executions.reason LIKE '{blocked}%'".replace("{blocked}", BLOCKED),
    counted=False,
)

END: Final = Statement(
    "end",
    (
        ("id", "text"),
        ("state", "text"),
        ("outcome", "text"),
        ("at", "bigint"),
        ("error_code", "text"),
        ("error_message", "text"),
        ("error_step", "text"),
        ("error_retryable", "boolean"),
        ("error_cause", "text"),
    ),
    "UPDATE executions SET state = v.state, outcome = v.outcome, finished_at = v.at, ready_at = NULL, reason = NULL,"
    " cancel_asked_at = NULL, error_cause = v.error_cause,"
    " error_code = v.error_code, error_message = v.error_message, error_step = v.error_step,"
    " error_retryable = v.error_retryable,"
    " data_key = CASE WHEN v.state = 'failed' THEN executions.data_key END,"
    " order_seq = CASE WHEN v.state = 'failed' AND executions.order_holds THEN executions.order_seq END,"
    " history = (v.state <> 'failed')"
    " FROM {v} WHERE executions.id = v.id AND {live} AND ({ends}) AND {free}".replace("{ends}", _ENDS),
)

REOPEN: Final = Statement(
    "reopen",
    (("id", "text"), ("at", "bigint"), ("order_seq", "bigint")),
    "UPDATE executions SET state = 'waiting', outcome = NULL, finished_at = NULL, ready_at = v.at, owner = NULL,"
    " deadline_at = NULL, attempt = executions.attempt + 1, reopened_after ="
    " (SELECT coalesce(max(journal.seq), 0) FROM journal WHERE journal.execution_id = v.id),"
    " order_seq = CASE WHEN executions.order_key IS NOT NULL THEN coalesce(executions.order_seq, v.order_seq) END,"
    " error_code = NULL, error_message = NULL, error_step = NULL, error_retryable = NULL,"
    " error_cause = NULL, discarded_at = NULL, history = false"
    " FROM {v} WHERE executions.id = v.id AND executions.state = 'failed'",
)

DISMISS_DEAD_LETTER: Final = Statement(
    "dismiss_dead_letter",
    (("id", "text"), ("at", "bigint")),
    "UPDATE executions SET discarded_at = v.at, data_key = NULL, history = (executions.order_seq IS NULL)"
    " FROM {v}"
    " WHERE executions.id = v.id AND {live} AND executions.state = 'failed' AND executions.discarded_at IS NULL",
)

SET_DATA_KEY: Final = Statement(
    "data_key",
    (("id", "text"), ("key", "bytea"), ("was", "bytea")),
    "UPDATE executions SET data_key = v.key FROM {v} WHERE executions.id = v.id AND {live}"
    " AND (executions.data_key = v.was OR (executions.data_key IS NULL AND v.was IS NULL))",
    counted=False,
)

#: An execution that isn't the first of its key waits for its turn. A statement of its own, since one that inserts
#: doesn't see what it inserts: of several messages with one key, accepted together, each would be the first. Those that
#: wait already aren't written again.
HOLD: Final = Statement(
    "hold",
    (("id", "text"),),
    "UPDATE executions SET ready_at = NULL, reason = '{order}' FROM {v}"
    " WHERE executions.id = v.id AND {live} AND executions.state IN ('queued', 'waiting')"
    " AND executions.order_seq IS NOT NULL AND coalesce(executions.reason, '') <> '{order}'"
    " AND executions.order_seq > (SELECT min(line.order_seq) FROM executions AS line"
    " WHERE line.flow_id = executions.flow_id AND line.order_key = executions.order_key"
    " AND line.order_seq IS NOT NULL AND {line_live})".replace("{order}", ORDER),
    counted=False,
)

#: Makes the next execution of an order key ready. It goes before those that were accepted later.
ADVANCE: Final = Statement(
    "advance",
    (("flow_id", "text"), ("order_key", "bytea")),
    "UPDATE executions SET ready_at = created_at, reason = NULL WHERE id IN (SELECT"
    " (SELECT line.id FROM executions AS line WHERE line.flow_id = v.flow_id AND line.order_key = v.order_key"
    " AND line.order_seq IS NOT NULL AND {line_live} ORDER BY line.order_seq LIMIT 1)"
    " FROM {v} WHERE v.flow_id IS NOT NULL)"
    " AND {live} AND ready_at IS NULL AND reason = '{order}' RETURNING flow_id".replace("{order}", ORDER),
    counted=False,
)

#: On PostgreSQL: what a feed asks for becomes this node's.
CLAIM_READY: Final = Statement("claim", procedure=claim_ready)
TAKE_OVER: Final = Statement("take_over", procedure=take_over)
RELEASE: Final = Statement("take_over", procedure=release)
LEAVE: Final = Statement("take_over", procedure=leave)
TAKE_DUTIES: Final = Statement("duty", procedure=take_duties)
GIVE_DUTY: Final = Statement("duty", procedure=give_duty)
MOVE_RATE_PARTS: Final = Statement("rate_parts", procedure=move_limit_parts)
PROBE: Final = Statement("probe", procedure=ask_for_probe)
ANSWER_PROBE: Final = Statement("probe", procedure=answer_probe)
SET_BLOB_MARK: Final = Statement("probe", procedure=set_blob_mark)
ADOPT: Final = Statement("adopt", procedure=adopt)
USE_KEYS: Final = Statement("keys", procedure=node_agreements.use_keys)
RETIRE_KEYS: Final = Statement("keys", procedure=node_agreements.retire_keys)
SET_ADMIN_TOKEN: Final = Statement("token", procedure=node_agreements.set_admin_token)
DRAIN: Final = Statement(
    "drain",
    (("lease", "text"), ("at", "bigint")),
    "UPDATE nodes SET drain_asked_at = coalesce(nodes.drain_asked_at, v.at) FROM {v}"
    " WHERE nodes.lease = v.lease AND nodes.gone_at IS NULL",
    counted=False,
)

#: Counts a change that each node has to adopt.
CHANGED: Final = Statement(
    "changed",
    (("id", "bigint"),),
    "UPDATE cluster SET changes = cluster.changes + 1 FROM {v} WHERE cluster.id = v.id",
    counted=False,
    repeated=True,
)

# --- When the clock was set ------------------------------------------------------------------------------------------


def _move(text: str) -> Statement:
    """A statement that moves times by `v.moved`, unless the last move was this one: `{new}` stands for that."""
    new = "v.moved IS NOT NULL AND NOT EXISTS (SELECT 1 FROM cluster WHERE cluster.id = 1 AND cluster.last_move = v.id)"
    text = text.replace("{new}", new).replace("{until}", UNTIL).replace("{order}", ORDER)
    return Statement("move", (("id", "text"), ("moved", "bigint")), text, counted=False)


#: An execution that waits for its turn will be ready from the time at which it was accepted, which must not lie ahead.
MOVE_READY: Final = _move(
    "UPDATE executions SET deadline_at = executions.deadline_at + v.moved,"
    " created_at = CASE WHEN executions.reason = '{order}' AND executions.ready_at IS NULL"
    " THEN executions.created_at + v.moved ELSE executions.created_at END,"
    " ready_at = CASE WHEN executions.state = 'waiting' AND EXISTS (SELECT 1 FROM journal"
    " WHERE journal.execution_id = executions.id AND journal.signal = '{until}' AND journal.state = 'waiting'"
    " AND journal.due_at = executions.ready_at) THEN executions.ready_at ELSE executions.ready_at + v.moved END"
    " FROM {v} WHERE executions.finished_at IS NULL AND {live} AND {new}"
)
MOVE_ENTRIES: Final = _move(
    "UPDATE journal SET due_at = journal.due_at + v.moved FROM {v} WHERE journal.execution_id IN"
    " (SELECT id FROM executions WHERE finished_at IS NULL AND {live})"
    " AND journal.state = 'waiting' AND journal.due_at IS NOT NULL AND coalesce(journal.signal, '') <> '{until}'"
    " AND {new}"
)
MOVE_BATCHES: Final = _move("UPDATE batches SET due_at = batches.due_at + v.moved FROM {v} WHERE {new}")
MOVE_LATE: Final = _move(
    "UPDATE waits SET late_at = waits.late_at + v.moved FROM {v} WHERE waits.late_at IS NOT NULL AND {new}"
)
MOVE_EARLY: Final = _move(
    "UPDATE callbacks SET until = callbacks.until + v.moved FROM {v} WHERE callbacks.until IS NOT NULL AND {new}"
)
NOTE_MOVE: Final = _move("UPDATE cluster SET last_move = v.id FROM {v} WHERE cluster.id = 1 AND {new}")
MOVES: Final = (MOVE_READY, MOVE_ENTRIES, MOVE_BATCHES, MOVE_LATE, MOVE_EARLY, NOTE_MOVE)
"""`MOVE_READY` compares with the entries, so that it comes before them; the note comes last."""

#: Locks the queues of order keys, and gives each so many more places. A queue without executions has no row.
LINES: Final = Statement(
    "line",
    (("flow_id", "text"), ("order_key", "bytea"), ("places", "bigint")),
    "INSERT INTO lines (flow_id, order_key, last) SELECT v.flow_id, v.order_key, v.places"
    " FROM {v} WHERE v.flow_id IS NOT NULL"
    " ON CONFLICT (flow_id, order_key) DO UPDATE SET last = lines.last + excluded.last"
    " RETURNING flow_id, order_key, last",
    counted=False,
)
_LINES_OF: Final = (
    "SELECT executions.id, executions.flow_id, executions.order_key FROM {v} CROSS JOIN executions"
    " WHERE executions.id = v.id AND executions.order_key IS NOT NULL"
)
#: The queues that executions are in, which are not in the history.
LINES_OF: Final = Statement("line", (("id", "text"),), f"{_LINES_OF} AND {{live}}", counted=False)
#: The queues that executions are to join again.
LINES_OF_ENDED: Final = Statement("line", (("id", "text"),), _LINES_OF, counted=False)
DROP_LINES: Final = Statement(
    "line",
    (("flow_id", "text"), ("order_key", "bytea")),
    "DELETE FROM lines WHERE (flow_id, order_key) IN"
    " (SELECT v.flow_id, v.order_key FROM {v} WHERE v.flow_id IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.flow_id = lines.flow_id AND {live}"
    " AND executions.order_key = lines.order_key AND executions.order_seq IS NOT NULL)",
    counted=False,
)

#: Releases the order key of a failed execution.
RELEASE_ORDER_KEY: Final = Statement(
    "release_order_key",
    (("id", "text"),),
    "UPDATE executions SET order_seq = NULL, history = (executions.discarded_at IS NOT NULL) FROM {v}"
    " WHERE executions.id = v.id AND executions.state = 'failed'",
)

#: Another version of the flow served after this one.
_SERVED_LATER: Final = (
    "flow_versions.served_at <"
    " (SELECT max(other.served_at) FROM flow_versions AS other WHERE other.flow_id = excluded.flow_id)"
)
PUBLISH: Final = Statement(
    "publish",
    (("flow_id", "text"), ("version", "text"), ("at", "bigint"), ("document", "bytea")),
    "INSERT INTO flow_versions (flow_id, version, created_at, served_at, document)"  # noqa: S608 - our own names
    " SELECT v.flow_id, v.version, v.at, v.at, v.document FROM {v} WHERE v.flow_id IS NOT NULL"
    " ON CONFLICT (flow_id, version) DO UPDATE SET document = excluded.document, served_at ="
    f" CASE WHEN {_SERVED_LATER} THEN excluded.served_at ELSE flow_versions.served_at END"
    f" WHERE {_SERVED_LATER} OR flow_versions.document <> excluded.document",
    counted=False,
)

OVERRIDE: Final = Statement(
    "override",
    (("flow_id", "text"), ("state", "text"), ("file_state", "text"), ("at", "bigint")),
    "INSERT INTO flow_overrides (flow_id, state, file_state, at) SELECT v.flow_id, v.state, v.file_state, v.at"
    " FROM {v} WHERE v.flow_id IS NOT NULL ON CONFLICT (flow_id) DO UPDATE"
    " SET state = excluded.state, file_state = excluded.file_state, at = excluded.at",
    counted=False,
)

DROP_OVERRIDE: Final = Statement(
    "override",
    (("flow_id", "text"),),
    "DELETE FROM flow_overrides WHERE flow_id IN (SELECT v.flow_id FROM {v} WHERE v.flow_id IS NOT NULL)",
    counted=False,
)

PUT_CREDENTIAL: Final = Statement(
    "credential",
    (
        ("name", "text"),
        ("type", "text"),
        ("ciphertext", "bytea"),
        ("at", "bigint"),
        ("flows", "bytea"),
        ("hosts", "bytea"),
    ),
    "INSERT INTO credentials (name, type, ciphertext, updated_at, flows, hosts)"
    " SELECT v.name, v.type, v.ciphertext, v.at, v.flows, v.hosts"
    " FROM {v} WHERE v.name IS NOT NULL ON CONFLICT (name) DO UPDATE"
    " SET type = excluded.type, ciphertext = excluded.ciphertext, updated_at = excluded.updated_at,"
    " flows = excluded.flows, hosts = excluded.hosts,"
    " tokens = CASE WHEN credentials.updated_at = excluded.updated_at THEN credentials.tokens END",
    counted=False,
)

PUT_TOKENS: Final = Statement(
    "credential",
    (("name", "text"), ("put_at", "bigint"), ("tokens", "bytea"), ("compared", "boolean"), ("before", "bytea")),
    "UPDATE credentials SET tokens = v.tokens FROM {v} WHERE credentials.name = v.name"
    " AND credentials.updated_at = v.put_at AND (NOT v.compared OR credentials.tokens = v.before"
    " OR (credentials.tokens IS NULL AND v.before IS NULL))",
    counted=False,
)

DROP_CREDENTIAL: Final = Statement(
    "credential",
    (("name", "text"),),
    "DELETE FROM credentials WHERE name IN (SELECT v.name FROM {v} WHERE v.name IS NOT NULL)",
    counted=False,
)

FORGET_FILES: Final = Statement(
    "forget",
    (("id", "text"), ("at", "bigint")),
    "UPDATE executions SET files_removed_at = v.at FROM {v} WHERE executions.id = v.id AND executions.history",
    counted=False,
)
DROP_REFERENCES: Final = Statement(
    "forget",
    (("id", "text"),),
    "DELETE FROM blob_refs WHERE execution_id IN (SELECT executions.id FROM {v} CROSS JOIN executions"
    " WHERE executions.id = v.id AND executions.history)",
    counted=False,
)
USE_FILES: Final = Statement(
    "use_files",
    (("id", "text"),),
    "UPDATE executions SET files_removed_at = NULL FROM {v} WHERE executions.id = v.id"
    " AND executions.files_removed_at IS NULL",
)

# --- Purging ---------------------------------------------------------------------------------------------------------

#: The purge of an execution, table by table; the execution itself comes last.
_GONE: Final = "SELECT executions.id FROM {v} CROSS JOIN executions WHERE executions.id = v.id AND executions.history"


def _purging(table: str) -> Statement:
    return Statement(
        "purge",
        (("id", "text"),),
        f"DELETE FROM {table} WHERE execution_id IN ({_GONE})",  # noqa: S608 - our own names
        counted=False,
    )


PURGE_JOURNAL: Final = _purging("journal")
PURGE_PAYLOADS: Final = _purging("payloads")
PURGE_PROGRESS: Final = _purging("progress")
PURGE_RESULTS: Final = _purging("item_results")
PURGE_WAITS: Final = _purging("waits")
PURGE_CALLBACKS: Final = _purging("callbacks")
PURGE_BATCHES: Final = _purging("batches")
PURGE_MEMBERS: Final = _purging("batch_members")
PURGE_REFERENCES: Final = _purging("blob_refs")
PURGE_ALIASES: Final = _purging("execution_aliases")
PURGE_TAGS: Final = _purging("tags")
#: Its dedupe key stays until the end of its window.
PURGE: Final = Statement(
    "purge",
    (("id", "text"),),
    "DELETE FROM executions WHERE history AND id IN (SELECT v.id FROM {v} WHERE v.id IS NOT NULL)",
    counted=False,
)
PURGES: Final = (
    PURGE_JOURNAL,
    PURGE_PAYLOADS,
    PURGE_PROGRESS,
    PURGE_RESULTS,
    PURGE_WAITS,
    PURGE_CALLBACKS,
    PURGE_BATCHES,
    PURGE_MEMBERS,
    PURGE_REFERENCES,
    PURGE_ALIASES,
    PURGE_TAGS,
    PURGE,
)

#: Keys that are taken without a message.
RELEASE_KEYS: Final = release_keys("cursor")
TAKE_KEYS: Final = take_keys("cursor")

FORGET_KEYS: Final = Statement(
    "purge",
    (("at", "bigint"),),
    "DELETE FROM dedupe_keys WHERE (flow_id, hash) IN (SELECT spent.flow_id, spent.hash"
    " FROM {v} CROSS JOIN dedupe_keys AS spent WHERE spent.until IS NOT NULL AND spent.until <= v.at"
    " ORDER BY spent.until LIMIT 500)",
    counted=False,
)

FORGET_VERSIONS: Final = Statement(
    "purge",
    (("flow_id", "text"), ("version", "text")),
    "DELETE FROM flow_versions WHERE (flow_id, version) IN"
    " (SELECT v.flow_id, v.version FROM {v} WHERE v.flow_id IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.flow_id = flow_versions.flow_id"
    " AND {live} AND executions.finished_at IS NULL AND executions.flow_version = flow_versions.version)"
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.flow_id = flow_versions.flow_id"
    " AND {live} AND executions.finished_at IS NOT NULL AND {undecided}"
    " AND executions.flow_version = flow_versions.version)".replace("{undecided}", UNDECIDED),
    counted=False,
)

REJECT: Final = Statement(
    "reject",
    (
        ("id", "text"),
        ("flow_id", "text"),
        ("at", "bigint"),
        ("code", "text"),
        ("status", "bigint"),
        ("detail", "text"),
        ("method", "text"),
        ("path", "text"),
        ("size", "bigint"),
        ("client", "text"),
        ("body", "bytea"),
    ),
    "INSERT INTO rejected (id, flow_id, at, code, status, detail, method, path, size, client, body)"
    " SELECT v.id, v.flow_id, v.at, v.code, v.status, v.detail, v.method, v.path, v.size, v.client, v.body"
    " FROM {v} WHERE v.id IS NOT NULL ON CONFLICT DO NOTHING",
    counted=False,
    repeated=True,
)

#: Removes all but the newest of each flow.
TRIM_REJECTED: Final = Statement(
    "reject",
    (("flow_id", "text"),),
    "DELETE FROM rejected WHERE id IN (SELECT old.id FROM {v} CROSS JOIN rejected AS old"
    " WHERE old.flow_id = v.flow_id AND old.id <= (SELECT newer.id FROM rejected AS newer"
    " WHERE newer.flow_id = v.flow_id ORDER BY newer.id DESC LIMIT 1 OFFSET {kept}))".replace(
        "{kept}", str(MAX_REJECTED_KEPT)
    ),
    counted=False,
)

# --- Administration --------------------------------------------------------------------------------------------------

DEPLOY: Final = Statement("deploy", procedure=deployments.deploy)
WRITE_FILES: Final = Statement("deploy", procedure=deployments.write_files)
FILES_WRITTEN: Final = Statement("files_written", procedure=deployments.files_written)
SET_CASES: Final = Statement("deploy", procedure=deployments.set_cases)
PUT_DRAFT: Final = Statement("draft", procedure=drafts_and_captures.put_draft)
DROP_DRAFT: Final = Statement("draft", procedure=drafts_and_captures.drop_draft)
OPEN_CAPTURE: Final = Statement("capture", procedure=drafts_and_captures.open_capture)
CLOSE_CAPTURE: Final = Statement("capture", procedure=drafts_and_captures.close_capture)
DROP_CAPTURE: Final = Statement("capture", procedure=drafts_and_captures.drop_capture)
KEEP_CAPTURED: Final = Statement("capture", procedure=drafts_and_captures.keep_captured)
FORGET_CAPTURED: Final = Statement("capture", procedure=drafts_and_captures.forget_captured)
CREATE_TOKEN: Final = Statement("token", procedure=access.create_token)
REVOKE_TOKEN: Final = Statement("token", procedure=access.revoke_token)
CREATE_SESSION: Final = Statement("session", procedure=access.create_session)
END_SESSION: Final = Statement("session", procedure=access.end_session)
CREATE_SIGN_IN_CODE: Final = Statement("session", procedure=access.create_sign_in_code)
USE_SIGN_IN_CODE: Final = Statement("session", procedure=access.use_sign_in_code)
FORGET_SESSIONS: Final = Statement("session", procedure=access.forget_sessions)
RECORD_AUDIT: Final = Statement("audit", procedure=access.record_audit)
#: It joins the execution, so that a duplicate, which has none, writes nothing.
AUDIT_ACCEPTED: Final = Statement(
    "audit",
    (
        ("execution_id", "text"),
        ("id", "text"),
        ("at", "bigint"),
        ("actor", "text"),
        ("address", "text"),
        ("operation", "text"),
        ("flow_id", "text"),
        ("flow_version", "text"),
        ("subject", "text"),
        ("detail", "text"),
    ),
    "INSERT INTO audit (id, at, actor, address, operation, flow_id, flow_version, subject, detail)"
    " SELECT v.id, v.at, v.actor, v.address, v.operation, v.flow_id, v.flow_version, v.subject, v.detail"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live}",
    counted=False,
)
FORGET_AUDIT: Final = Statement("audit", procedure=access.forget_audit)
REPORT_PROBLEMS: Final = Statement("problems", procedure=node_agreements.report_problems)
REJECT_SIGN_INS: Final = Statement("sign_in", procedure=access.reject_sign_ins)

PING: Final = Statement(
    "ping",
    (("id", "bigint"), ("at", "bigint")),
    "INSERT INTO pings (id, at) SELECT v.id, v.at FROM {v} WHERE v.id IS NOT NULL"
    " ON CONFLICT (id) DO UPDATE SET at = excluded.at",
    counted=False,
)
