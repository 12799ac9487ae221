"""The nodes of a database, the changes that they have adopted, their parts of rates, shared secrets and problems."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select, text

from hookline.api_storage import BACKLOG, Node, NodeParts, NodeProblem, QueueCount, SharedSecrets
from hookline_sqlstore.column_values import micros, moment
from hookline_sqlstore.node_lease import NOW
from hookline_sqlstore.tables import cluster, node_problems, nodes, secret_keys

_HOUR: Final = 3_600_000_000
#: A node without the role of serving adopts nothing.
_SERVING: Final = nodes.c.role != "command"


def now_of(connection: Connection) -> int:
    """Return the database's time, in microseconds since 1970."""
    found: int | None = connection.scalar(text(f"SELECT {NOW}"))
    return found or 0


def last_change(connection: Connection) -> int:
    """Return the number of the last change that each node has to adopt."""
    found: int | None = connection.scalar(select(cluster.c.changes))
    return found or 0


_BEHIND: Final = select(nodes).where(_SERVING, nodes.c.adopted < bindparam("change"))


class Behind(NamedTuple):
    """The nodes that have not adopted a change."""

    living: Sequence[Any]
    """Those from which nobody has taken over."""
    run_out: Sequence[Any]
    """Those of them whose lease has run out. It goes on if a transaction is open that has renewed it."""
    accepting: Sequence[Any]
    """Those that may accept messages although they have lost their lease."""


def behind(change: int) -> Callable[[Connection], Behind]:
    """Return a query for the nodes that have not adopted a change, and may still act by what they knew before."""

    def ask(connection: Connection) -> Behind:
        now = now_of(connection)
        rows = connection.execute(_BEHIND, {"change": change}).all()
        living = [row for row in rows if row.gone_at is None]
        accepting = [row for row in rows if row.gone_at is not None and _accepts(row, now)]
        return Behind(living, [row for row in living if row.until <= now], accepting)

    return ask


def _accepts(row: Any, now: int) -> bool:
    """Return true if a node may accept messages without its lease, also if another one has taken over."""
    return bool(row.accepts_without_lease > 0 and row.until + row.accepts_without_lease > now)


def blob_mark(connection: Connection) -> str | None:
    """Return the blob that marks the blob store of all nodes."""
    found: str | None = connection.scalar(select(cluster.c.blob_mark))
    return found


#: Nodes of another version may not know of probes.
_ANSWERS: Final = text(
    "SELECT mine.probe_read AS read, EXISTS (SELECT 1 FROM nodes AS other WHERE other.host <> mine.host"  # noqa: S608 - our own names
    f" AND other.gone_at IS NULL AND other.until > {NOW} AND other.role <> 'command'"
    " AND other.version = mine.version) AS asked FROM nodes AS mine WHERE mine.lease = :lease"
)


def probe_answer(lease: str) -> Callable[[Connection], tuple[bool | None, bool]]:
    """Return a query for what another node says of a node's probe, and whether there is one to say anything."""

    def ask(connection: Connection) -> tuple[bool | None, bool]:
        row = connection.execute(_ANSWERS, {"lease": lease}).one()
        return row.read, row.asked

    return ask


def nodes_of(connection: Connection) -> Sequence[Node]:
    """Return the nodes that serve the database, and those that did in the last hour; oldest first."""
    now, change = now_of(connection), last_change(connection)
    since = now - _HOUR
    rows = connection.execute(select(nodes).where(_SERVING).order_by(nodes.c.started_at, nodes.c.lease))
    return [
        Node(
            row.lease,
            row.name,
            row.host,
            row.role,
            row.version,
            moment(row.started_at),
            moment(row.until),
            row.clock_ahead / 1_000_000,
            moment(row.drain_asked_at),
            moment(row.gone_at),
            row.queue,
            row.adopted < change and (row.gone_at is None or _accepts(row, now)),
        )
        for row in rows
        if row.gone_at is None or row.gone_at > since or _accepts(row, now)
    ]


_DUTIES_OF_OTHERS: Final = text(
    "SELECT duties.name FROM duties JOIN nodes ON nodes.lease = duties.owner"
    " WHERE duties.name = ANY(:names) AND duties.owner <> :lease AND nodes.gone_at IS NULL"
).bindparams(bindparam("names", type_=ARRAY(Text)))


def duties_of_others(connection: Connection, lease: str, names: Collection[str]) -> frozenset[str]:
    """Return those of some duties that living nodes without this lease have."""
    return frozenset(connection.scalars(_DUTIES_OF_OTHERS, {"names": list(names), "lease": lease}))


ASKING: Final = f"rate_parts.asked_at > {NOW} - 3000000"
"""The condition for rows of nodes that ask for parts: a node counts as asking for three seconds."""
#: The parts of nodes that are gone count as free; the next request adds them to these.
_RATE_PARTS: Final = (
    "SELECT rate_parts.flow_id, rate_parts.rate, CASE WHEN nodes.gone_at IS NULL AND nodes.lease IS NOT NULL"  # noqa: S608 - our own names
    " THEN rate_parts.lease ELSE '' END AS lease, rate_parts.parts, rate_parts.need,"
    f" {ASKING} AS asks"
    " FROM rate_parts LEFT JOIN nodes ON nodes.lease = rate_parts.lease"
)
_ALL_PARTS: Final = text(_RATE_PARTS)
_SOME_PARTS: Final = text(
    f"{_RATE_PARTS} WHERE rate_parts.flow_id = ANY(:names) OR (rate_parts.flow_id, rate_parts.rate) IN"  # noqa: S608 - our own names
    f" (SELECT rate_parts.flow_id, rate_parts.rate FROM rate_parts WHERE {ASKING})"
).bindparams(bindparam("names", type_=ARRAY(Text)))


def limit_parts_of(connection: Connection, lease: str, names: Collection[str] | None) -> Sequence[NodeParts]:
    """Return the parts of the limits with these names, and of those for which a node asks; None for all.

    `lease`: that of the node that asks.
    """
    rows = (
        connection.execute(_ALL_PARTS) if names is None else connection.execute(_SOME_PARTS, {"names": sorted(names)})
    )
    return [
        NodeParts(row.flow_id, row.rate, row.lease, row.lease == lease != "", row.parts, row.need, row.asks)
        for row in rows
    ]


#: One statement, so that the count and the version are of the same moment.
_QUEUED: Final = text(
    "SELECT v.flow_id, coalesce(rate_parts.ready_at, 0) AS version, (SELECT count(*) FROM executions"  # noqa: S608 - as above
    " WHERE NOT history AND flow_id = v.flow_id AND state = 'queued' AND finished_at IS NULL) AS queued"
    f" FROM unnest(:flow_ids) AS v(flow_id) LEFT JOIN rate_parts ON rate_parts.flow_id = v.flow_id"
    f" AND rate_parts.rate = '{BACKLOG}' AND rate_parts.lease = ''"
).bindparams(bindparam("flow_ids", type_=ARRAY(Text)))


def count_queued(connection: Connection, flow_ids: Collection[str]) -> Mapping[str, QueueCount]:
    """Count the queued messages of flows."""
    rows = connection.execute(_QUEUED, {"flow_ids": sorted(flow_ids)})
    return {row.flow_id: QueueCount(row.queued, row.version) for row in rows}


def instance_id(connection: Connection) -> str:
    return str(connection.scalar(select(cluster.c.instance_id)))


def shared_secrets(connection: Connection) -> SharedSecrets:
    """Return the ids and the hash by which the nodes share secrets."""
    in_use = select(secret_keys.c.id).where(secret_keys.c.retired_at.is_(None)).order_by(secret_keys.c.id)
    return SharedSecrets(tuple(connection.scalars(in_use)), connection.scalar(select(cluster.c.admin_token)))


def problems(connection: Connection, since: datetime) -> list[NodeProblem]:
    """Return the problems that nodes have reported since a time, each once."""
    columns = node_problems.c
    same = (columns.kind, columns.subject, columns.detail)
    found = (
        select(*same, func.min(columns.since).label("since"))
        .where(columns.at >= micros(since))
        .group_by(*same)
        .order_by(*same)
    )
    return [NodeProblem(row.kind, row.subject, row.detail, moment(row.since)) for row in connection.execute(found)]
