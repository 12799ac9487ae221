"""The insertion of messages and their tags: each id is accepted once, each dedupe key has one execution at a time."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from hookline.api_storage import ORDER
from hookline_sqlstore.dialect import Conflict, Dialect, PostgresDialect, Row, Statement

_COLUMNS: Final = (
    ("id", "text"),
    ("flow_id", "text"),
    ("at", "bigint"),
    ("dedupe_key", "bytea"),
    ("dedupe_hash", "bytea"),
    ("dedupe_until", "bigint"),
    ("order_key", "bytea"),
    ("order_seq", "bigint"),
    ("order_holds", "boolean"),
    ("data_key", "bytea"),
    ("flow_version", "text"),
    ("vars", "bytea"),
    ("started_at", "bigint"),
    ("deadline_at", "bigint"),
    ("serving", "boolean"),
    ("claimed", "boolean"),
    ("payload", "bytea"),
)
_PLACES: Final = {name: place for place, (name, _) in enumerate(_COLUMNS)}
_HASH: Final = _PLACES["dedupe_hash"]
_ORDER_KEY: Final = _PLACES["order_key"]
_STARTED_AT: Final = _PLACES["started_at"]


def serves(flow_id: str) -> str:
    """The condition of a start that names the version that serves: no other node has deployed the flow meanwhile."""
    return (
        "(v.serving IS NOT TRUE OR EXISTS (SELECT 1 FROM served_flows"  # noqa: S608 - our own names
        f" WHERE served_flows.flow_id = {flow_id} AND served_flows.version = v.flow_version))"
    )


#: An execution of the same order key goes first. One that is inserted with it isn't seen: see `HOLD`.
_WAITS: Final = (
    "v.order_seq IS NOT NULL AND EXISTS (SELECT 1 FROM executions AS line WHERE line.flow_id = v.flow_id"
    " AND line.order_key = v.order_key AND line.order_seq < v.order_seq AND {line_live})"
)
_INSERT: Final = (
    "INSERT INTO executions (id, flow_id, state, created_at, attempt, ready_at, reason, dedupe_key, dedupe_until,"  # noqa: S608 - our own names
    " order_key, order_seq, order_holds, data_key, flow_version, vars, started_at, deadline_at, owner, payload)"
    " SELECT v.id, v.flow_id, CASE WHEN v.started_at IS NULL THEN 'queued' ELSE 'running' END, v.at, 1,"
    f" CASE WHEN v.started_at IS NULL AND NOT ({_WAITS}) THEN v.at END,"
    f" CASE WHEN v.started_at IS NULL AND {_WAITS} THEN '{ORDER}' END, v.dedupe_key, v.dedupe_until,"
    " v.order_key, v.order_seq, v.order_holds, v.data_key, v.flow_version, v.vars, v.started_at, v.deadline_at,"
    " CASE WHEN v.claimed THEN {me} END, v.payload"
    " FROM {v}"
)
_INSERTABLE: Final = f" WHERE v.id IS NOT NULL AND {serves('v.flow_id')}"
_ONCE: Final = " ON CONFLICT DO NOTHING"

ACCEPT: Final = Statement("accept", _COLUMNS, _INSERT + _INSERTABLE + _ONCE)

#: Inserts all messages, or fails and inserts none. It fails if an id is there already; or if the version of a start
#: doesn't serve the flow, since the id is null then, which the table rejects.
ACCEPT_ALL: Final = Statement(
    "accept",
    _COLUMNS,
    _INSERT.replace("SELECT v.id,", f"SELECT CASE WHEN {serves('v.flow_id')} THEN v.id END,", 1)
    + " WHERE v.id IS NOT NULL",
)

_TAG_COLUMNS: Final = (("execution_id", "text"), ("name", "text"), ("value", "text"))
#: It joins the execution, so that a message that wasn't accepted has no tags.
_TAG: Final = Statement(
    "accept",
    _TAG_COLUMNS,
    "INSERT INTO tags (name, value, execution_id) SELECT v.name, v.value, v.execution_id"
    " FROM {v} CROSS JOIN executions WHERE executions.id = v.execution_id AND {live} ON CONFLICT DO NOTHING",
    counted=False,
)

_KEYS: Final = (("id", "text"), ("flow_id", "text"), ("dedupe_hash", "bytea"), ("dedupe_until", "bigint"))
_TAKE: Final = (
    "INSERT INTO dedupe_keys (flow_id, hash, execution_id, until)"
    " SELECT {k}.flow_id, {k}.dedupe_hash, {k}.id, {k}.dedupe_until FROM {keys}"
    " WHERE {k}.dedupe_hash IS NOT NULL ON CONFLICT DO NOTHING"
)


def take_keys(name: str, end: str = "") -> Statement:
    """The statement that gives keys to executions."""
    return Statement(name, _KEYS, _TAKE.replace("{keys}", "{v}").replace("{k}", "v") + end, counted=False)


_TAKE_KEYS: Final = take_keys("accept", " RETURNING execution_id")

#: For messages that were not accepted: the execution that has their key, the end of its window, and its acceptance.
_CLASHES: Final = Statement(
    "accept",
    (("id", "text"), ("flow_id", "text"), ("dedupe_hash", "bytea")),
    "SELECT v.id, dedupe_keys.execution_id, dedupe_keys.until,"
    " (SELECT holder.created_at FROM executions AS holder WHERE holder.id = dedupe_keys.execution_id)"
    " FROM {v} CROSS JOIN dedupe_keys"
    " WHERE dedupe_keys.flow_id = v.flow_id AND dedupe_keys.hash = v.dedupe_hash AND dedupe_keys.execution_id <> v.id",
)


def release_keys(name: str) -> Statement:
    """The statement that releases those keys whose windows are over."""
    return Statement(
        name,
        (("flow_id", "text"), ("dedupe_hash", "bytea"), ("at", "bigint")),
        "DELETE FROM dedupe_keys WHERE (flow_id, hash) IN (SELECT spent.flow_id, spent.hash"
        " FROM {v} CROSS JOIN dedupe_keys AS spent WHERE spent.flow_id = v.flow_id AND spent.hash = v.dedupe_hash"
        " AND spent.until IS NOT NULL AND spent.until <= v.at)",
        counted=False,
    )


_RELEASE_KEYS: Final = release_keys("accept")


def _variant(*, keyed: bool, known: bool, tagged: bool) -> Statement:
    """The only statement for PostgreSQL, because each statement costs a round trip.

    `keyed`: some messages have keys. `known`: some may have been accepted before. An index of each partition holds the
    ids in it, so that an execution in the history doesn't keep the index of the others from accepting its id again.
    Locking finds it in either place. If another transaction is just moving the execution, this one is a conflict, and
    is repeated. `tagged`: some messages have tags; their arrays are the parameters after those of the messages.
    """
    place = {name: f"${number + 1}::{type}[]" for number, (name, type) in enumerate(_COLUMNS)}
    parts, conditions = [], ""
    if known:
        parts.append(
            "known AS MATERIALIZED (SELECT executions.id FROM executions"  # noqa: S608 - our own names
            f" WHERE executions.id = ANY({place['id']}) FOR KEY SHARE)"
        )
        conditions += " AND v.id NOT IN (SELECT known.id FROM known)"
    if keyed:
        keys = ", ".join(place[name] for name, _ in _KEYS)
        names = ", ".join(name for name, _ in _KEYS)
        take = _TAKE.replace("{keys}", f"unnest({keys}) AS k({names})").replace("{k}", "k")
        if known:
            take = take.replace(" ON CONFLICT", " AND k.id NOT IN (SELECT known.id FROM known) ON CONFLICT")
        parts.append(f"taken AS ({take} RETURNING execution_id)")
        conditions += " AND (v.dedupe_hash IS NULL OR v.id IN (SELECT taken.execution_id FROM taken))"
    insert = _INSERT + _INSERTABLE + conditions
    if tagged:
        # The messages that are inserted: others get no tags.
        parts.append(f"new AS MATERIALIZED (SELECT v.* FROM {{v}}{_INSERTABLE}{conditions})")  # noqa: S608 - as above
        tags = ", ".join(f"${len(_COLUMNS) + number}::{type}[]" for number, (_, type) in enumerate(_TAG_COLUMNS, 1))
        parts.append(
            "tagged AS (INSERT INTO tags (name, value, execution_id) SELECT t.name, t.value, t.execution_id"  # noqa: S608 - as above
            f" FROM unnest({tags}) AS t(execution_id, name, value) JOIN new ON new.id = t.execution_id{_ONCE})"
        )
        insert = _INSERT.replace("{v}", "new AS v")
    before = f"WITH {', '.join(parts)} " if parts else ""
    return Statement("accept", _COLUMNS, before + insert + _ONCE)


_VARIANTS: Final = {
    (keyed, known, tagged): _variant(keyed=keyed, known=known, tagged=tagged)
    for keyed in (False, True)
    for known in (False, True)
    for tagged in (False, True)
}


def insert_messages(connection: Connection, dialect: Dialect, rows: Sequence[Row], tags: Sequence[Row]) -> int:
    """Insert the messages whose ids are new and whose keys are free, with their tags; return the number of messages.

    `tags`: for each tag, the id of its message, its name and its value.
    """
    keyed = [row for row in rows if row[_HASH] is not None]
    if isinstance(dialect, PostgresDialect):
        # A message that starts at once has just got its id.
        known = any(row[_STARTED_AT] is None for row in rows)
        return dialect.write(connection, _VARIANTS[bool(keyed), known, bool(tags)], rows, tags)
    if keyed:
        found = dialect.read(connection, _TAKE_KEYS, [_columns(row, _KEYS) for row in keyed])
        taken = {execution_id for (execution_id,) in found}
        rows = [row for row in rows if row[_HASH] is None or row[0] in taken]
    inserted = dialect.write(connection, ACCEPT, rows) if rows else 0
    if tags:
        dialect.write(connection, _TAG, tags)
    return inserted


_ENDED: Final = "SELECT 1 FROM executions WHERE history AND id = ANY($1::text[]) LIMIT 1"


def check_once(connection: Connection, dialect: Dialect, ids: Sequence[str]) -> None:
    """Check that messages that were just inserted weren't inserted before by another node. Raises Conflict.

    The insertion may have waited for a lock, while such a message was committed and ended. It saw nothing of that, and
    the index of those that have not ended has the id no more. This is a statement of its own, which sees it.
    """
    if isinstance(dialect, PostgresDialect) and connection.exec_driver_sql(_ENDED, (list(ids),)).first() is not None:
        raise Conflict


def is_plain(row: Row) -> bool:
    """Return true if a message has neither a dedupe key nor an order key."""
    return row[_HASH] is None and row[_ORDER_KEY] is None


def clashes(connection: Connection, dialect: Dialect, rows: Sequence[Row]) -> dict[str, Any]:
    """Return those messages whose keys other executions have: rows of their id, that execution, the end of its window,
    and the time at which it was accepted (None if it isn't there), by the messages' ids."""
    keyed = [_columns(row, _CLASHES.columns) for row in rows if row[_HASH] is not None]
    return {found[0]: found for found in dialect.read(connection, _CLASHES, keyed)} if keyed else {}


def is_over(clash: Any, row: Row) -> bool:
    """Return true if the window of a taken key is over when a message with the same key is accepted."""
    until, accepted_at = clash[2], row[_PLACES["at"]]
    return until is not None and until <= accepted_at


def is_later(clash: Any, row: Row) -> bool:
    """Return true if the execution that has the key of a message was accepted after the window of the message."""
    until, later = row[_PLACES["dedupe_until"]], clash[3]
    return until is not None and later is not None and until <= later


def without_key(row: Row) -> Row:
    """Return the row of a message that takes no dedupe key, although it has one."""
    return (*row[:_HASH], None, *row[_HASH + 1 :])


def release_spent_keys(connection: Connection, dialect: Dialect, rows: Sequence[Row]) -> None:
    """Release those keys of messages whose windows were over when the messages came."""
    dialect.write(connection, _RELEASE_KEYS, [_columns(row, _RELEASE_KEYS.columns) for row in rows])


def _columns(row: Row, wanted: Sequence[tuple[str, str]]) -> Row:
    return tuple(row[_PLACES[name]] for name, _ in wanted)
