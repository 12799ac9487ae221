"""Moving the parts of limits between nodes, of many limits in a few statements.

The rows of the parts that no node has are locked first, in the order of their keys. So only one node at a time moves
parts of a limit. For a backlog, this row has no parts, since these follow from a count of the queued messages. Its
`ready_at` is the version that such a count must name, another one after each move.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import ARRAY, BigInteger, Boolean, Connection, Double, Integer, Text, TextClause, bindparam, text

from hookline.api_storage import BACKLOG, Moved, Parts, PartsMoved, PartsRequest, move_backlog_parts, move_parts
from hookline_sqlstore.node_lease import NOW

_SECOND: Final = 1_000_000
_ME: Final = "current_setting('hookline.lease')"
_TYPES: Final[Mapping[str, Any]] = {
    "flow_id": Text,
    "rate": Text,
    "total": Integer,
    "parts": Integer,
    "ready_at": BigInteger,
    "need": Double,
    "asks": Boolean,
}
_Key: TypeAlias = tuple[str, str]


def _many(sql: str, *columns: str) -> TextClause:
    """A statement over many rows `v`, of which there is an array for each column."""
    names = ("flow_id", "rate", *columns)
    rows = f"unnest({', '.join(f':{name}' for name in names)}) AS v({', '.join(names)})"
    bound = [bindparam(name, type_=ARRAY(_TYPES[name])) for name in names]
    return text(sql.replace("{v}", rows)).bindparams(*bound)


#: At first, all parts are free, besides those that nodes have.
_FIRST: Final = _many(
    "INSERT INTO rate_parts (flow_id, rate, lease, parts, ready_at, need, asked_at)"
    " SELECT v.flow_id, v.rate, '', greatest(0, v.total - coalesce(sum(one.parts), 0)), 0, 0, 0"
    " FROM {v} LEFT JOIN rate_parts AS one ON one.flow_id = v.flow_id AND one.rate = v.rate"
    " GROUP BY v.flow_id, v.rate, v.total"
    " HAVING NOT coalesce(bool_or(one.lease = ''), FALSE) ORDER BY v.flow_id, v.rate ON CONFLICT DO NOTHING",
    "total",
)
_LOCK: Final = _many(
    f"SELECT one.flow_id, one.rate, one.parts, one.ready_at, {NOW} AS now FROM {{v}} JOIN rate_parts AS one"  # noqa: S608 - our own names
    " ON one.flow_id = v.flow_id AND one.rate = v.rate WHERE one.lease = ''"
    " ORDER BY one.flow_id, one.rate FOR UPDATE OF one"
)
_GONE: Final = _many(
    "DELETE FROM rate_parts AS one USING {v} LEFT JOIN LATERAL (SELECT node_parts.lease, nodes.gone_at"
    " FROM rate_parts AS node_parts LEFT JOIN nodes ON nodes.lease = node_parts.lease"
    " WHERE node_parts.flow_id = v.flow_id AND node_parts.rate = v.rate AND node_parts.lease <> ''"
    " AND (nodes.lease IS NULL OR nodes.gone_at IS NOT NULL)) AS gone ON TRUE"
    " WHERE one.flow_id = v.flow_id AND one.rate = v.rate AND one.lease = gone.lease"
    " RETURNING one.flow_id, one.rate, one.parts, gone.gone_at"
)
_HAD: Final = _many(
    f"SELECT one.flow_id, one.rate, coalesce(sum(one.parts) FILTER (WHERE one.lease = {_ME}), 0) AS mine,"  # noqa: S608 - as above
    f" coalesce(sum(one.parts) FILTER (WHERE one.lease <> {_ME}), 0) AS others"
    " FROM {v} JOIN rate_parts AS one ON one.flow_id = v.flow_id AND one.rate = v.rate"
    " WHERE one.lease <> '' GROUP BY one.flow_id, one.rate"
)
_SET_FREE: Final = _many(
    "UPDATE rate_parts AS one SET parts = v.parts, ready_at = v.ready_at FROM {v}"
    " WHERE one.flow_id = v.flow_id AND one.rate = v.rate AND one.lease = ''",
    "parts",
    "ready_at",
)
_SET_MINE: Final = _many(
    "INSERT INTO rate_parts (flow_id, rate, lease, parts, ready_at, need, asked_at)"  # noqa: S608 - as above
    f" SELECT v.flow_id, v.rate, {_ME}, v.parts, 0, v.need, CASE WHEN v.asks THEN {NOW} ELSE 0 END FROM {{v}}"
    " ON CONFLICT (flow_id, rate, lease) DO UPDATE SET parts = excluded.parts, need = excluded.need,"
    " asked_at = excluded.asked_at",
    "parts",
    "need",
    "asks",
)
_LEAVE: Final = _many(
    "DELETE FROM rate_parts AS one USING {v} WHERE one.flow_id = v.flow_id AND one.rate = v.rate"  # noqa: S608 - as above
    f" AND one.lease = {_ME}"
)


class _Had(NamedTuple):
    """The parts of a limit before a move."""

    free: Any
    """The row of the parts that no node has."""
    mine: int = 0
    others: int = 0
    gone: Sequence[tuple[int, float]] = ()
    """The parts of nodes that are gone, and the seconds since then."""


def move_limit_parts(connection: Connection, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
    """Give parts of limits to other nodes, or take some that no node has; return the result of each request.

    No two requests are about the same limit.
    """
    parts = _lock(connection, requests)
    before = [parts[_key(request)] for request in requests]
    moves = [_moved(request, had) for request, had in zip(requests, before, strict=True)]
    _set_free(connection, requests, before, moves)
    _set_mine(connection, requests, moves)
    return [
        PartsMoved(moved.own.count, moved.taken, max(0, _own(request, had) - moved.own.count))
        for request, had, moved in zip(requests, before, moves, strict=True)
    ]


def _own(request: PartsRequest, had: _Had) -> int:
    """The parts of the node before the move. Those of a backlog that are used up are no longer its own."""
    return min(had.mine, request.unused) if request.rate == BACKLOG else had.mine


def _moved(request: PartsRequest, had: _Had) -> Moved:
    if request.rate == BACKLOG:
        others = had.others + sum(parts for parts, _ in had.gone)
        return move_backlog_parts(request, _own(request, had), others, had.free.ready_at)
    free = Parts(had.free.parts, max(0, had.free.ready_at - had.free.now) / _SECOND)
    return move_parts(request, _own(request, had), free, had.gone)


def _lock(connection: Connection, requests: Sequence[PartsRequest]) -> Mapping[_Key, _Had]:
    """Lock the parts of the limits, and remove the rows of nodes that are gone."""
    keys = _arrays(requests)
    connection.execute(_FIRST, {**keys, "total": [_without_node(request) for request in requests]})
    found = {(row.flow_id, row.rate): _Had(row) for row in connection.execute(_LOCK, keys)}
    for row in connection.execute(_GONE, keys):
        had = found[row.flow_id, row.rate]
        # A node that is no longer listed has been gone for long.
        gone = (row.parts, (had.free.now - (row.gone_at or 0)) / _SECOND)
        found[row.flow_id, row.rate] = had._replace(gone=(*had.gone, gone))
    for row in connection.execute(_HAD, keys):
        found[row.flow_id, row.rate] = found[row.flow_id, row.rate]._replace(mine=row.mine, others=row.others)
    return found


def _set_free(
    connection: Connection, requests: Sequence[PartsRequest], before: Sequence[_Had], moves: Sequence[Moved]
) -> None:
    parts, ready_at = [], []
    for request, had, moved in zip(requests, before, moves, strict=True):
        if request.rate == BACKLOG:
            parts.append(0)
            ready_at.append(max(had.free.now, had.free.ready_at + 1))
        else:
            parts.append(moved.free.count)
            ready_at.append(had.free.now + round(moved.free.recovers_in * _SECOND))
    connection.execute(_SET_FREE, {**_arrays(requests), "parts": parts, "ready_at": ready_at})


def _set_mine(connection: Connection, requests: Sequence[PartsRequest], moves: Sequence[Moved]) -> None:
    both = list(zip(requests, moves, strict=True))
    leaving = [request for request, moved in both if request.leaves and not moved.own.count]
    if leaving:
        connection.execute(_LEAVE, _arrays(leaving))
    staying = [(request, moved) for request, moved in both if not request.leaves or moved.own.count]
    if staying:
        values = {
            "parts": [moved.own.count for _, moved in staying],
            "need": [request.need for request, _ in staying],
            "asks": [request.asks for request, _ in staying],
        }
        connection.execute(_SET_MINE, {**_arrays([request for request, _ in staying]), **values})


def _without_node(request: PartsRequest) -> int:
    return 0 if request.rate == BACKLOG else request.total


def _key(request: PartsRequest) -> _Key:
    return request.name, request.rate


def _arrays(requests: Iterable[PartsRequest]) -> dict[str, list[Any]]:
    keys = [_key(request) for request in requests]
    return {"flow_id": [name for name, _ in keys], "rate": [rate for _, rate in keys]}
