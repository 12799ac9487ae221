"""Agreements of the nodes of a database: the owners of executions and duties, their keys and token, and problems."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, Connection, Text, bindparam, delete, insert, or_, select, text, update

from hookline.api_storage import ORDER, KeysInUse, ReportProblems, RetireKeys, SetAdminToken, UseKeys
from hookline_sqlstore.column_values import micros, storable
from hookline_sqlstore.node_lease import NOW
from hookline_sqlstore.tables import cluster, node_problems, secret_keys

_COLUMNS: Final = (
    "id, flow_id, flow_version, state, created_at, ready_at, dedupe_key, dedupe_until, order_key, order_holds, reason,"
    " data_key, payload"
)
_ME: Final = "current_setting('hookline.lease')"
_IDS: Final = ("again", "taken")
#: It has not ended: a failure that nobody has decided on isn't in the history either.
_LIVE: Final = "NOT history AND finished_at IS NULL"


class ClaimRow(NamedTuple):
    """The request of a feed."""

    flow_id: str
    again: tuple[str, ...]
    """Executions of this node that are due for another delivery."""
    taken: tuple[str, ...]
    """Executions of this node that are in flight or will be delivered again."""
    room: int
    now: datetime
    begun_only: bool
    """Only executions that have started."""
    limit: int | None
    """The most executions of the flow that all nodes together may have claimed or run; None if each counts its own."""


class Claimed(NamedTuple):
    """The executions that this node runs next, in order."""

    rows: Sequence[Any]
    complete: bool
    """Nothing else is ready."""
    full: bool = False
    """The nodes together have as many executions of the flow as they may have."""


def _with_ids(statement: str) -> Any:
    names = [name for name in _IDS if f":{name}" in statement]
    return text(statement).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in names))


#: The second part has those of which this node has lost sight: their commit was in doubt, and took place.
_MINE: Final = (
    f"SELECT {_COLUMNS} FROM executions WHERE id = ANY(:again) AND owner = {_ME} AND {_LIVE}"  # noqa: S608 - our own names
    f" UNION ALL SELECT {_COLUMNS} FROM executions WHERE owner = {_ME} AND flow_id = :flow_id"
    f" AND ready_at IS NOT NULL AND {_LIVE} AND id <> ALL(:taken)"
)
_READY: Final = (
    f"UPDATE executions SET owner = {_ME} WHERE NOT history AND id IN (SELECT id FROM executions"  # noqa: S608 - as above
    " WHERE NOT history AND flow_id = :flow_id AND owner IS NULL AND ready_at IS NOT NULL AND ready_at <= :now{begun}"
    f" ORDER BY ready_at, id LIMIT :room FOR NO KEY UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"
)
_CLAIM: Final = {
    False: text(_READY.replace("{begun}", "")),
    True: text(_READY.replace("{begun}", " AND flow_version IS NOT NULL")),
}
_FOUND: Final = _with_ids(_MINE)
_GIVE_BACK: Final = _with_ids(
    "UPDATE executions SET owner = NULL WHERE NOT history AND id = ANY(:again)"  # noqa: S608 - as above
    f" AND owner = {_ME} AND state <> 'running'"
)


def claim_ready(connection: Connection, row: ClaimRow) -> Claimed:
    """Claim as many executions as there is room for; return what is to be delivered."""
    asked = {"flow_id": row.flow_id, "again": list(row.again), "taken": [*row.again, *row.taken]}
    places = {execution_id: place for place, execution_id in enumerate(row.again)}
    mine = sorted(
        connection.execute(_FOUND, asked),
        key=lambda found: (places.get(found.id, len(places)), found.ready_at or 0, found.id),
    )
    kept = [found for found in mine if not _waits(found, row)]
    # What may not run now, such as the start of an execution of a flow that was paused, is left to any node.
    returned = sorted({found.id for found in mine} - {found.id for found in kept})
    if returned:
        connection.execute(_GIVE_BACK, {"again": returned})
    room = row.room - len(kept)
    if room <= 0:
        return Claimed(kept, complete=False)
    if row.limit is not None:
        room = min(room, row.limit - _count(connection, row.flow_id))
        if room <= 0:
            return Claimed(kept, complete=True, full=True)
    wanted = {"flow_id": row.flow_id, "now": micros(row.now), "room": room}
    claimed = connection.execute(_CLAIM[row.begun_only], wanted).all()
    ordered = sorted(claimed, key=lambda found: (found.ready_at, found.id))
    return Claimed([*kept, *ordered], complete=len(claimed) < room or row.limit is not None)


_ONE_COUNTS: Final = text("SELECT pg_advisory_xact_lock(hashtext('hookline concurrency'), hashtext(:flow_id))")
#: What nodes have claimed is counted node by node: the index of the flow's executions has its whole queue.
_RUNNING: Final = text(
    f"SELECT (SELECT count(*) FROM executions WHERE flow_id = :flow_id AND state = 'running' AND {_LIVE}"  # noqa: S608 - as above
    " AND owner IS NOT NULL) + (SELECT coalesce(sum(claimed.number), 0) FROM nodes CROSS JOIN LATERAL"
    " (SELECT count(*) AS number FROM executions WHERE owner = nodes.lease AND flow_id = :flow_id"
    f" AND state <> 'running' AND ready_at IS NOT NULL AND {_LIVE}) AS claimed WHERE nodes.released_at IS NULL)"
)


def _count(connection: Connection, flow_id: str) -> int:
    """Count the executions of a flow that nodes have claimed or run; until the end of the transaction, no other node
    counts."""
    connection.execute(_ONE_COUNTS, {"flow_id": flow_id})
    return int(connection.scalar(_RUNNING, {"flow_id": flow_id}) or 0)


def _waits(found: Any, row: ClaimRow) -> bool:
    """Return true if an execution that this node has may not be delivered now."""
    later = found.ready_at is not None and found.ready_at > micros(row.now)
    return found.reason == ORDER or later or (row.begun_only and found.flow_version is None)


_TAKE_OVER: Final = text(
    f"UPDATE nodes SET gone_at = {NOW}, accepts_without_lease = CASE WHEN :dead THEN 0 ELSE accepts_without_lease END"  # noqa: S608 - as above
    " WHERE lease IN (SELECT lease FROM nodes WHERE lease = :lease"
    f" AND gone_at IS NULL AND (until <= {NOW} OR :dead) FOR UPDATE SKIP LOCKED)"
)


class TakeOverRow(NamedTuple):
    """A node that seems to be dead."""

    lease: str
    dead: bool
    """Its process is known to be dead, so that nobody has to wait until its lease has run out."""


def take_over(connection: Connection, row: TakeOverRow) -> bool:
    """End the lease of a dead node; return false if it lives, or if a transaction of it is still open.

    What it ran is released by a later transaction, which sees all that the node has committed.
    """
    return connection.execute(_TAKE_OVER, row._asdict()).rowcount == 1


_RELEASED: Final = text(
    f"UPDATE nodes SET released_at = {NOW} WHERE lease = :lease AND gone_at IS NOT NULL AND released_at IS NULL"  # noqa: S608 - as above
)
#: A week is long enough for the list of nodes.
_FORGET: Final = text(f"DELETE FROM nodes WHERE released_at < {NOW} - 604800000000")  # noqa: S608 - as above
#: A rate of which no node has a part, and of which all parts have long recovered, is as if nobody had asked.
_FORGET_RATES: Final = text(
    f"DELETE FROM rate_parts WHERE lease = '' AND ready_at < {NOW} - 604800000000 AND NOT EXISTS (SELECT 1"  # noqa: S608 - as above
    " FROM rate_parts AS other WHERE other.flow_id = rate_parts.flow_id AND other.rate = rate_parts.rate"
    " AND other.lease <> '')"
)
#: They go before those that were accepted later.
_RELEASE: Final = text(
    "UPDATE executions SET owner = NULL, ready_at = CASE WHEN state = 'running' THEN created_at ELSE ready_at END"  # noqa: S608 - as above
    f" WHERE {_LIVE} AND owner = :lease RETURNING flow_id"
)


def release(connection: Connection, lease: str) -> frozenset[str]:
    """Make the executions of a node that is gone ready for others; return the ids of their flows."""
    if connection.execute(_RELEASED, {"lease": lease}).rowcount != 1:
        return frozenset()
    connection.execute(_FORGET)
    connection.execute(_FORGET_RATES)
    return frozenset(connection.scalars(_RELEASE, {"lease": lease}))


_LEAVE: Final = text(f"UPDATE nodes SET gone_at = {NOW}, accepts_without_lease = 0 WHERE lease = :lease")  # noqa: S608 - as above


def leave(connection: Connection, lease: str) -> frozenset[str]:
    """End this node's own lease, and make its executions ready for others; return the ids of their flows."""
    connection.execute(_LEAVE, {"lease": lease})
    return release(connection, lease)


_TAKE_DUTY: Final = text(
    f"INSERT INTO duties (name, owner, since) VALUES (:name, {_ME}, {NOW}) ON CONFLICT (name) DO UPDATE"  # noqa: S608 - as above
    f" SET owner = excluded.owner, since = excluded.since WHERE duties.owner <> {_ME}"
    " AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.lease = duties.owner AND nodes.gone_at IS NULL)"
)
_MY_DUTIES: Final = text(f"SELECT name FROM duties WHERE owner = {_ME} AND name = ANY(:names)").bindparams(  # noqa: S608 - as above
    bindparam("names", type_=ARRAY(Text))
)
_GIVE_DUTY: Final = text(f"DELETE FROM duties WHERE owner = {_ME} AND name = :name")  # noqa: S608 - as above


def take_duties(connection: Connection, names: Sequence[str]) -> frozenset[str]:
    """Take the duties that no living node has; return those that this node has now."""
    for name in sorted(names):
        connection.execute(_TAKE_DUTY, {"name": name})
    return frozenset(connection.scalars(_MY_DUTIES, {"names": list(names)}))


def give_duty(connection: Connection, name: str) -> None:
    """Leave a duty to other nodes."""
    connection.execute(_GIVE_DUTY, {"name": name})


def adopt(connection: Connection, change: int) -> None:
    """Note that this node has adopted all changes up to this one."""
    connection.execute(text(f"UPDATE nodes SET adopted = :change WHERE lease = {_ME}"), {"change": change})  # noqa: S608 - as above


def ask_for_probe(connection: Connection, blob_id: str) -> None:
    """Let nodes of other hosts read a blob."""
    probe = text(f"UPDATE nodes SET probe = :blob, probe_read = NULL WHERE lease = {_ME}")  # noqa: S608 - as above
    connection.execute(probe, {"blob": blob_id})


def answer_probe(connection: Connection, answer: tuple[str, bool]) -> None:
    """Note whether the probe of another node can be read. One node that can read it is enough."""
    lease, read = answer
    noted = (
        "UPDATE nodes SET probe_read = :read OR coalesce(probe_read, FALSE) WHERE lease = :lease AND gone_at IS NULL"
    )
    connection.execute(text(noted), {"lease": lease, "read": read})


def set_blob_mark(connection: Connection, mark: tuple[str, str | None]) -> None:
    """Name the blob that marks the blob store of all nodes, and keep it from being removed."""
    blob_id, before = mark
    named = text("UPDATE cluster SET blob_mark = :after WHERE blob_mark IS NOT DISTINCT FROM CAST(:before AS text)")
    if connection.execute(named, {"after": blob_id, "before": before}).rowcount:
        connection.execute(text("DELETE FROM blob_refs WHERE execution_id = ''"))
        connection.execute(text("INSERT INTO blob_refs (blob_id, execution_id) VALUES (:blob, '')"), {"blob": blob_id})


def report_problems(connection: Connection, report: ReportProblems) -> None:
    """Store the problems of a node, and remove those that it had, and those that were reported long ago."""
    columns = node_problems.c
    connection.execute(
        delete(node_problems).where(or_(columns.node == report.node, columns.at < micros(report.forget_before)))
    )
    rows = [
        {
            "node": report.node,
            "place": place,
            "kind": one.kind,
            "subject": storable(one.subject),
            "detail": storable(one.detail),
            "since": micros(one.since),
            "at": micros(report.at),
        }
        for place, one in enumerate(report.problems)
    ]
    if rows:
        connection.execute(insert(node_problems), rows)


# --- Secrets of all nodes --------------------------------------------------------------------------------------------

# Each change locks the row of the cluster first. A node registers before it notes its keys. So if a node joins while a
# key becomes the first one, whichever comes later sees the other.

_LOCKED: Final = select(cluster.c.first_key).where(cluster.c.id == 1).with_for_update()
_TELL: Final = text(f"UPDATE nodes SET secret_keys = :keys WHERE lease = {_ME}")  # noqa: S608 - our own names
#: Also those that may accept messages without their lease.
_OTHERS: Final = text(
    f"SELECT name, secret_keys FROM nodes WHERE role <> 'command' AND lease <> {_ME} AND (gone_at IS NULL"  # noqa: S608 - as above
    f" OR (accepts_without_lease > 0 AND until + accepts_without_lease > {NOW}))"
)


def use_keys(connection: Connection, change: UseKeys) -> KeysInUse:
    """Note which keys this node has; return those in use."""
    first: str | None = connection.scalar(_LOCKED)
    now = micros(change.at)
    if first is None:
        first = change.ids[0]
        _add(connection, change.ids, now)
        connection.execute(update(cluster).values(first_key=first))
    rows = connection.execute(select(secret_keys)).all()
    known = sorted(row.id for row in rows)
    missing = tuple(row.id for row in rows if row.retired_at is None and row.id not in change.ids)
    if missing:
        return KeysInUse(first, tuple(known), tuple(sorted(missing)))
    others = _others(connection, change.ids)
    wanted, without = change.ids[0], tuple[str, ...]()
    if wanted != first:
        without = _without(others, wanted, new=wanted not in known)
        if not without:
            first = wanted
            _add(connection, [wanted], now)
            connection.execute(update(cluster).values(first_key=wanted, changes=cluster.c.changes + 1))
            known = sorted({*known, wanted})
    return KeysInUse(first, tuple(known), (), without)


def _others(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    """Note the keys of this node, and return the rows of the others that may encrypt anything."""
    if connection.dialect.name != "postgresql":
        return ()  # one process uses it
    connection.execute(_TELL, {"keys": ",".join(ids)})
    return connection.execute(_OTHERS).all()


def _without(others: Sequence[Any], wanted: str, *, new: bool) -> tuple[str, ...]:
    """Return the names of the nodes because of which a key can't become the first one."""

    def agrees(row: Any) -> bool:
        theirs = [] if row.secret_keys is None else row.secret_keys.split(",")
        return wanted in theirs if new else wanted == theirs[:1]

    return tuple(sorted({row.name for row in others if not agrees(row)}))


def retire_keys(connection: Connection, change: RetireKeys) -> None:
    """Note that only these keys are needed."""
    first: str | None = connection.scalar(_LOCKED)
    others = secret_keys.c.id.not_in(change.keep)
    retired = update(secret_keys).where(others, secret_keys.c.retired_at.is_(None))
    connection.execute(retired.values(retired_at=micros(change.at)))
    if first not in change.keep:
        _add(connection, change.keep, micros(change.at))
        connection.execute(update(cluster).values(first_key=change.keep[0], changes=cluster.c.changes + 1))


def _add(connection: Connection, ids: Collection[str], now: int | None) -> None:
    connection.execute(update(secret_keys).where(secret_keys.c.id.in_(ids)).values(retired_at=None))
    there = set(connection.scalars(select(secret_keys.c.id).where(secret_keys.c.id.in_(ids))))
    if new := [{"id": id, "since": now} for id in dict.fromkeys(ids) if id not in there]:
        connection.execute(insert(secret_keys), new)


def set_admin_token(connection: Connection, change: SetAdminToken) -> None:
    """Keep the hash of the server's own token."""
    replaced = update(cluster).values(admin_token=change.digest)
    connection.execute(replaced.where(cluster.c.admin_token.is_(None)) if change.first else replaced)
