"""The nodes of a database, and what they have adopted."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, text

from hookline.api_storage import Node, NodeParts
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.tables import cluster, nodes
from hookline_sqlstore.writing.lease import NOW

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


_BEHIND: Final = select(nodes).where(nodes.c.gone_at.is_(None), _SERVING, nodes.c.adopted < bindparam("change"))


def behind(change: int) -> Callable[[Connection], Sequence[Any]]:
    """Return a query for the living nodes that have not adopted a change."""

    def ask(connection: Connection) -> Sequence[Any]:
        now = now_of(connection)
        return [row for row in connection.execute(_BEHIND, {"change": change}) if row.until > now]

    return ask


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
    since = now_of(connection) - _HOUR
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
        )
        for row in rows
        if row.gone_at is None or row.gone_at > since
    ]


_ASKING: Final = 3_000_000
"""Microseconds for which a node counts as asking."""
#: The parts of nodes that are gone count as free; the next request adds them to these.
_RATE_PARTS: Final = text(
    "SELECT rate_parts.flow_id, rate_parts.rate, CASE WHEN nodes.gone_at IS NULL AND nodes.lease IS NOT NULL"  # noqa: S608 - our own names
    " THEN rate_parts.lease ELSE '' END AS lease, rate_parts.parts, rate_parts.need,"
    f" rate_parts.asked_at > {NOW} - {_ASKING} AS asks"
    " FROM rate_parts LEFT JOIN nodes ON nodes.lease = rate_parts.lease"
)


def rate_parts_of(connection: Connection, lease: str) -> Sequence[NodeParts]:
    """Return the parts of all rates; `lease`: that of the node that asks."""
    return [
        NodeParts(row.flow_id, row.rate, row.lease, row.lease == lease != "", row.parts, row.need, row.asks)
        for row in connection.execute(_RATE_PARTS)
    ]
