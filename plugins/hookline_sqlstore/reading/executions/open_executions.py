"""Executions that have not ended: due, ready or waiting for their turn."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, select, text

from hookline.api_storage import (
    FINAL,
    ORDER,
    Due,
    Held,
    State,
)
from hookline_sqlstore.column_values import micros, moment
from hookline_sqlstore.flow_ids_by_index import flow_ids
from hookline_sqlstore.tables import IS_BLOCKED, LIVE, executions

_OPEN: Final = and_(executions.c.finished_at.is_(None), LIVE)


def due(connection: Connection, after: datetime | None, until: datetime, limit: int) -> tuple[Due, ...]:
    timers = select(executions.c.id, executions.c.flow_id, executions.c.ready_at).where(_TIMER)
    in_time = [executions.c.ready_at <= micros(until)]
    if after is not None:
        in_time.append(executions.c.ready_at > micros(after))
    order = (executions.c.ready_at, executions.c.id)
    rows = connection.execute(timers.where(*in_time).order_by(*order).limit(limit))
    return tuple(Due(row.id, row.flow_id, moment(row.ready_at)) for row in rows)


_TIMER: Final = and_(text("executions.state = 'waiting'"), executions.c.ready_at.is_not(None), LIVE)


def next_due(connection: Connection, after: datetime) -> datetime | None:
    earliest = select(func.min(executions.c.ready_at)).where(_TIMER, executions.c.ready_at > micros(after))
    found: int | None = connection.scalar(earliest)
    return moment(found)


#: A condition with which PostgreSQL reads no partition of the history.
_LIVE: Final = {"sqlite": "", "postgresql": " AND NOT history"}
#: By dialect.
_FLOWS_WITH_WORK: Final = {
    dialect: text(flow_ids("executions", f"finished_at IS NULL{live}")) for dialect, live in _LIVE.items()
}


def flows_with_work(connection: Connection) -> frozenset[str]:
    return frozenset(connection.scalars(_FLOWS_WITH_WORK[connection.dialect.name]))


def _with_ready(live: str) -> str:
    # What nodes have claimed is little.
    claimed = f"SELECT flow_id FROM executions WHERE owner IS NOT NULL AND ready_at IS NOT NULL{live}"  # noqa: S608 - our own names
    return f"{flow_ids('executions', f'ready_at IS NOT NULL AND owner IS NULL{live}')} UNION {claimed}"


#: By dialect.
_FLOWS_WITH_READY: Final = {dialect: text(_with_ready(live)) for dialect, live in _LIVE.items()}


def flows_with_ready(connection: Connection) -> frozenset[str]:
    """Return the flows with executions that are ready, that will be, or that a node has claimed."""
    return frozenset(connection.scalars(_FLOWS_WITH_READY[connection.dialect.name]))


def backlog(connection: Connection) -> dict[str, tuple[int, datetime]]:
    rows = connection.execute(
        select(executions.c.flow_id, func.count(), func.min(executions.c.created_at))
        .where(_OPEN, executions.c.state == State.QUEUED.value)
        .group_by(executions.c.flow_id)
    )
    return {flow_id: (count, moment(oldest)) for flow_id, count, oldest in rows}


#: By dialect. In the index, `queued` comes before the other states, so that the first execution of a flow is a queued
#: one if there is any. Ordering by a state that isn't given leads PostgreSQL to that index.
_OLDEST_QUEUED: Final = {
    dialect: text(
        flow_ids(
            "executions",
            f"finished_at IS NULL{live}",
            f"(SELECT CASE WHEN state = '{State.QUEUED}' THEN created_at END FROM executions"  # noqa: S608 - our own names
            f" WHERE flow_id = found.flow_id AND finished_at IS NULL{live} ORDER BY state, id LIMIT 1) AS since",
        )
    )
    for dialect, live in _LIVE.items()
}


def oldest_queued(connection: Connection) -> dict[str, datetime]:
    rows = connection.execute(_OLDEST_QUEUED[connection.dialect.name])
    return {row.flow_id: moment(row.since) for row in rows if row.since is not None}


def _blocked(live: str) -> str:
    of_flow = f"FROM executions WHERE {IS_BLOCKED} AND flow_id = found.flow_id{live}"
    return flow_ids(
        "executions",
        f"{IS_BLOCKED}{live}",
        f"(SELECT count(*) FROM (SELECT 1 {of_flow} LIMIT :limit) AS counted) AS amount",  # noqa: S608 - our own names
        f"(SELECT created_at {of_flow} ORDER BY id LIMIT 1) AS since",
        f"(SELECT reason {of_flow} ORDER BY id LIMIT 1) AS reason",
    )


#: By dialect.
_BLOCKED: Final = {dialect: text(_blocked(live)) for dialect, live in _LIVE.items()}


def blocked(connection: Connection, limit: int) -> dict[str, Held]:
    rows = connection.execute(_BLOCKED[connection.dialect.name], {"limit": limit})
    return {row.flow_id: Held(row.amount, moment(row.since), row.reason) for row in rows}


def counts(connection: Connection) -> dict[tuple[str, State], int]:
    rows = connection.execute(
        select(executions.c.flow_id, executions.c.state, func.count())
        .where(_OPEN)
        .group_by(executions.c.flow_id, executions.c.state)
    )
    return {(flow_id, State(state)): count for flow_id, state, count in rows}


_READY: Final = (
    select(executions.c.id)
    .where(
        executions.c.flow_id == bindparam("flow_id"),
        executions.c.ready_at.is_not(None),
        executions.c.owner.is_(None),
        executions.c.ready_at <= bindparam("now"),
        LIVE,
    )
    .order_by(executions.c.ready_at, executions.c.id)
    .limit(bindparam("limit"))
)


_BEGUN: Final = text("executions.flow_version IS NOT NULL")


_WAITING_TO_RUN: Final = select(
    executions.c.id,
    executions.c.flow_id,
    executions.c.flow_version,
    executions.c.state,
    executions.c.created_at,
    executions.c.ready_at,
    executions.c.dedupe_key,
    executions.c.dedupe_until,
    executions.c.order_key,
    executions.c.order_holds,
    executions.c.reason,
    executions.c.data_key,
    executions.c.payload,
).where(executions.c.id.in_(bindparam("ids", expanding=True)), LIVE)


def ready(
    connection: Connection, flow_id: str, now: datetime, limit: int, *, begun_only: bool = False
) -> Sequence[str]:
    """Return the ids of a flow's ready executions, oldest first; with `begun_only`, only those that have started."""
    asked = _READY.where(_BEGUN) if begun_only else _READY
    return connection.scalars(asked, {"flow_id": flow_id, "now": micros(now), "limit": limit}).all()


def to_run(
    connection: Connection,
    again: Collection[str],
    ready_ids: Collection[str],
    now: datetime,
    *,
    begun_only: bool = False,
) -> list[Any]:
    """Return the rows of executions to deliver: `again` unless they have ended, then those of `ready_ids` that are
    still ready.

    An execution that `ready` found may have run and been parked before the caller asks for its row.
    """
    asked = [*again, *ready_ids]
    found = {row.id: row for row in connection.execute(_WAITING_TO_RUN, {"ids": asked})}
    known = frozenset(again)
    limit = micros(now)
    return [
        row
        for row in (found[execution_id] for execution_id in asked if execution_id in found)
        if row.state not in FINAL
        and not (begun_only and row.flow_version is None)
        and (
            (row.id in known and row.reason != ORDER)  # reopened meanwhile, it may have to wait for its turn
            or (row.ready_at is not None and row.ready_at <= limit)
        )
    ]


_RECOVER: Final = text(
    "UPDATE executions SET ready_at = CASE WHEN created_at < :now THEN created_at ELSE :now END"
    " WHERE finished_at IS NULL AND state = 'running'"
)


def recover(connection: Connection, now: datetime) -> None:
    """Make executions ready that ran when the process died. They go before those that were accepted later."""
    with connection.begin():
        connection.execute(_RECOVER, {"now": micros(now)})


_QUEUE_DEPTH: Final = select(func.count()).select_from(
    select(executions.c.id)
    .where(
        executions.c.flow_id == bindparam("flow_id"),
        executions.c.order_key == bindparam("order_key"),
        executions.c.order_seq.is_not(None),
        LIVE,
    )
    .limit(bindparam("limit"))
    .subquery("found")
)


def queue_depth(connection: Connection, flow_id: str, order_key: str, limit: int) -> int:
    """Count the executions of an order key that have not left its queue, up to `limit`."""
    asked = {"flow_id": flow_id, "order_key": order_key.encode(), "limit": limit}
    return connection.scalar(_QUEUE_DEPTH, asked) or 0
