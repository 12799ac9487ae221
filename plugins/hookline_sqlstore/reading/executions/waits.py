"""Waiting steps and their callbacks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, bindparam, func, select, text

from hookline.api_storage import Held, WaitStatus
from hookline_sqlstore.column_values import first_id, micros, moment
from hookline_sqlstore.flow_ids_by_index import flow_ids
from hookline_sqlstore.tables import callbacks, executions, waits

_CALLBACKS: Final = (
    select(callbacks.c.path, callbacks.c.payload)
    .join(waits, and_(waits.c.execution_id == callbacks.c.execution_id, waits.c.path == callbacks.c.path))
    .where(callbacks.c.execution_id == bindparam("execution_id"), callbacks.c.payload.is_not(None))
)

_WAIT: Final = select(waits.c.page).where(
    waits.c.execution_id == bindparam("execution_id"), waits.c.path == bindparam("path")
)
_TIMED_OUT: Final = select(callbacks.c.payload.is_(None)).where(
    callbacks.c.execution_id == bindparam("execution_id"), callbacks.c.path == bindparam("path")
)


def callbacks_of(connection: Connection, execution_id: str) -> dict[str, bytes]:
    rows = connection.execute(_CALLBACKS, {"execution_id": execution_id})
    return {row.path: row.payload for row in rows}


_TO_COME: Final = (
    select(callbacks.c.id, callbacks.c.payload)
    .outerjoin(executions, executions.c.id == callbacks.c.execution_id)
    .where(
        callbacks.c.payload.is_not(None),
        callbacks.c.id > bindparam("after"),
        func.coalesce(executions.c.state, "").not_in(("succeeded", "cancelled")),
    )
    .order_by(callbacks.c.id)
    .limit(bindparam("limit"))
)


def callbacks_to_come(connection: Connection, after: str, limit: int) -> list[tuple[str, bytes]]:
    return [(row.id, row.payload) for row in connection.execute(_TO_COME, {"after": after, "limit": limit})]


def waits_of(connection: Connection, execution_id: str) -> tuple[str, ...]:
    return tuple(
        connection.scalars(select(waits.c.path).where(waits.c.execution_id == execution_id).order_by(waits.c.path))
    )


def wait_status(connection: Connection, execution_id: str, path: str) -> WaitStatus:
    at_step = {"execution_id": execution_id, "path": path}
    wait = connection.execute(_WAIT, at_step).one_or_none()
    timed_out = connection.scalar(_TIMED_OUT, at_step)
    return WaitStatus(
        wait is not None,
        called=timed_out is False,
        timed_out=timed_out is True,
        page=None if wait is None else wait.page,
    )


_OF_FLOW: Final = "FROM waits WHERE flow_id = found.flow_id AND late_at IS NOT NULL AND late_at <= :at"
_LATE: Final = text(
    flow_ids(
        "waits",
        "late_at IS NOT NULL",
        f"(SELECT count(*) FROM (SELECT 1 {_OF_FLOW} LIMIT :limit) AS counted) AS amount",  # noqa: S608 - our own names
        f"(SELECT opened_at {_OF_FLOW} ORDER BY late_at LIMIT 1) AS since",
    )
)


def late(connection: Connection, at: datetime, limit: int) -> dict[str, Held]:
    rows = connection.execute(_LATE, {"at": micros(at), "limit": limit})
    return {row.flow_id: Held(row.amount, moment(row.since)) for row in rows if row.since is not None}


def executions_with_callbacks(connection: Connection, ended_before: datetime, limit: int) -> Sequence[str]:
    return connection.scalars(
        select(callbacks.c.execution_id)
        .join(executions, executions.c.id == callbacks.c.execution_id)
        .where(
            callbacks.c.execution_id < first_id(ended_before),
            executions.c.finished_at < micros(ended_before),
            executions.c.history,
        )
        .group_by(callbacks.c.execution_id)
        .order_by(callbacks.c.execution_id)
        .limit(limit)
    ).all()
