"""Moving the parts of rates between nodes.

The row of the parts that no node has is locked first, so only one node at a time moves parts.
"""

from typing import Final

from sqlalchemy import Connection, text

from hookline.api_storage import Parts, PartsMoved, PartsRequest, move_parts
from hookline_sqlstore.lease import NOW

_SECOND: Final = 1_000_000
_ME: Final = "current_setting('hookline.lease')"
_KEY: Final = "flow_id = :flow_id AND rate = :rate"

#: At first, all parts are free, besides those that nodes have.
_FIRST: Final = text(
    "INSERT INTO rate_parts (flow_id, rate, lease, parts, ready_at, need, asked_at)"
    " SELECT :flow_id, :rate, '', :total - coalesce(sum(parts), 0), 0, 0, 0 FROM rate_parts"
    " WHERE flow_id = :flow_id AND rate = :rate ON CONFLICT DO NOTHING"
)
_LOCK: Final = text(f"SELECT parts, ready_at, {NOW} AS now FROM rate_parts WHERE {_KEY} AND lease = '' FOR UPDATE")  # noqa: S608 - as above
_GONE: Final = text(
    "DELETE FROM rate_parts USING (SELECT one.lease, nodes.gone_at FROM rate_parts AS one"
    " LEFT JOIN nodes ON nodes.lease = one.lease WHERE one.flow_id = :flow_id AND one.rate = :rate AND one.lease <> ''"
    " AND (nodes.lease IS NULL OR nodes.gone_at IS NOT NULL)) AS gone"
    " WHERE rate_parts.flow_id = :flow_id AND rate_parts.rate = :rate AND rate_parts.lease = gone.lease"
    " RETURNING rate_parts.parts, gone.gone_at"
)
_MINE: Final = text(f"SELECT parts FROM rate_parts WHERE {_KEY} AND lease = {_ME}")  # noqa: S608 - as above
_SET_FREE: Final = text(f"UPDATE rate_parts SET parts = :parts, ready_at = :ready_at WHERE {_KEY} AND lease = ''")  # noqa: S608 - as above
_SET_MINE: Final = text(
    "INSERT INTO rate_parts (flow_id, rate, lease, parts, ready_at, need, asked_at)"  # noqa: S608 - our own names
    f" VALUES (:flow_id, :rate, {_ME}, :parts, 0, :need, CASE WHEN :asks THEN {NOW} ELSE 0 END)"
    " ON CONFLICT (flow_id, rate, lease) DO UPDATE SET parts = excluded.parts, need = excluded.need,"
    " asked_at = excluded.asked_at"
)
_LEAVE: Final = text(f"DELETE FROM rate_parts WHERE {_KEY} AND lease = {_ME}")  # noqa: S608 - as above


def move_rate_parts(connection: Connection, request: PartsRequest) -> PartsMoved:
    """Give parts of a rate to other nodes, or take some that no node has."""
    key = {"flow_id": request.flow_id, "rate": request.rate}
    connection.execute(_FIRST, {**key, "total": request.total})
    row = connection.execute(_LOCK, key).one()
    free = Parts(row.parts, max(0, row.ready_at - row.now) / _SECOND)
    # A node that is no longer listed has been gone for long.
    gone = [(one.parts, (row.now - (one.gone_at or 0)) / _SECOND) for one in connection.execute(_GONE, key)]
    own: int = connection.scalar(_MINE, key) or 0
    moved = move_parts(request, own, free, gone)
    ready_at = row.now + round(moved.free.recovers_in * _SECOND)
    connection.execute(_SET_FREE, {**key, "parts": moved.free.count, "ready_at": ready_at})
    if request.leaves and not moved.own.count:
        connection.execute(_LEAVE, key)
    else:
        mine = {"parts": moved.own.count, "need": request.need, "asks": request.asks}
        connection.execute(_SET_MINE, {**key, **mine})
    return PartsMoved(moved.own.count, moved.taken, max(0, own - moved.own.count))
