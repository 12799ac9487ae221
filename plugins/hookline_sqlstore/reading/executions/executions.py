"""Executions: single ones, their messages, and pages of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from hookline.api_storage import (
    DeadLetterPage,
    Envelope,
    ErrorInfo,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    ExecutionSummary,
    Outcome,
    State,
    unpack,
    without_body,
)
from hookline_sqlstore.column_values import key_hash, micros, moment
from hookline_sqlstore.reading.executions import execution_lists
from hookline_sqlstore.reading.executions.open_executions import flows_with_work
from hookline_sqlstore.tables import (
    LIVE,
    dedupe_keys,
    execution_aliases,
    executions,
    payloads,
)

_ABOUT: Final = tuple(
    column
    for column in executions.c
    if column.key
    not in {"dedupe_key", "dedupe_until", "order_key", "order_seq", "order_holds", "payload", "data_key", "history"}
)


_ONE: Final = select(*_ABOUT).where(executions.c.id == bindparam("id"))


_ENVELOPE: Final = (
    select(
        executions.c.id,
        executions.c.flow_id,
        executions.c.created_at,
        executions.c.dedupe_key,
        executions.c.dedupe_until,
        executions.c.order_key,
        executions.c.order_holds,
        executions.c.data_key,
        func.coalesce(executions.c.payload, payloads.c.payload).label("payload"),
    )
    .select_from(executions.outerjoin(payloads, payloads.c.execution_id == executions.c.id))
    .where(executions.c.id == bindparam("id"))
)


def _error_of(row: Any) -> ErrorInfo | None:
    if row.error_code is None:
        return None
    return ErrorInfo(row.error_code, row.error_message, row.error_step, bool(row.error_retryable))


def _execution(row: Any) -> Execution:
    return Execution(
        id=row.id,
        flow_id=row.flow_id,
        flow_version=row.flow_version,
        vars=row.vars,
        state=State(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        created_at=moment(row.created_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at),
        attempt=row.attempt,
        reopened_after=row.reopened_after,
        error=_error_of(row),
        reason=row.reason,
        ready_at=moment(row.ready_at),
        files_removed_at=moment(row.files_removed_at),
        deadline_at=moment(row.deadline_at),
        cancel_asked_at=moment(row.cancel_asked_at),
        replay_of=row.replay_of,
        node=None if row.owner is None else row.owner.rpartition(".")[0],
        error_cause=row.error_cause,
        discarded_at=moment(row.discarded_at),
    )


def envelope_of(row: Any) -> Envelope:
    """Build the message of a row from its columns and its `payload`."""
    return unpack(
        row.payload,
        execution_id=row.id,
        flow_id=row.flow_id,
        accepted_at=moment(row.created_at),
        dedupe_key=None if row.dedupe_key is None else row.dedupe_key.decode(),
        dedupe_until=moment(row.dedupe_until),
        order_key=None if row.order_key is None else row.order_key.decode(),
        order_holds=bool(row.order_holds),
        data_key=row.data_key,
    )


def readable(row: Any) -> Envelope | None:
    """Return the message of a row; None if the row has none, or if it can't be decoded.

    The error is raised when that message alone is read, so that the other rows of a page are not affected.
    """
    if row.payload is None:
        return None
    try:
        return envelope_of(row)
    except (msgspec.DecodeError, ValueError):
        return None


def execution(connection: Connection, execution_id: str) -> Execution | None:
    row = connection.execute(_ONE, {"id": execution_id}).one_or_none()
    return None if row is None else _execution(row)


def envelope_row(connection: Connection, execution_id: str) -> Any:
    """Return the row of a message, for `envelope_of`; None if there is none."""
    return connection.execute(_ENVELOPE, {"id": execution_id}).one_or_none()


_DATA_KEYS: Final = (
    select(executions.c.id, executions.c.data_key)
    # One in the history has none.
    .where(executions.c.data_key.is_not(None), executions.c.id > bindparam("after"), LIVE)
    .order_by(executions.c.id)
    .limit(bindparam("limit"))
)


def data_keys(connection: Connection, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
    return [(row.id, row.data_key) for row in connection.execute(_DATA_KEYS, {"after": after, "limit": limit})]


_ACCEPTED_AS: Final = select(dedupe_keys.c.execution_id, dedupe_keys.c.until).where(
    dedupe_keys.c.flow_id == bindparam("flow_id"), dedupe_keys.c.hash == bindparam("hash")
)


def accepted_as(connection: Connection, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
    row = connection.execute(_ACCEPTED_AS, {"flow_id": flow_id, "hash": key_hash(dedupe_key)}).one_or_none()
    if row is None or (row.until is not None and row.until <= micros(now)):
        return None
    found: str = row.execution_id
    return found


_ALIASED: Final = select(execution_aliases.c.execution_id).where(execution_aliases.c.alias == bindparam("alias"))


def aliased(connection: Connection, alias: str) -> str | None:
    found: str | None = connection.scalar(_ALIASED, {"alias": alias})
    return found


def page(connection: Connection, chosen: ExecutionFilter, cursor: str | None, limit: int) -> ExecutionPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    ids = execution_lists.ids(connection, chosen, cursor, limit + 1, flows_with_work)
    wanted = ids[:limit]
    # One of them may have been purged since.
    rows = connection.execute(select(*_ABOUT, executions.c.payload).where(executions.c.id.in_(wanted)))
    found = {row.id: row for row in rows}
    return ExecutionPage(
        items=tuple(
            ExecutionSummary(
                _execution(row), row.payload if row.payload is not None else _without_body(connection, row.id)
            )
            for row in (found[execution_id] for execution_id in wanted if execution_id in found)
        ),
        next=wanted[-1] if len(ids) > limit else None,
    )


def _without_body(connection: Connection, execution_id: str) -> bytes:
    """Return the payload of a large message without its body."""
    row = envelope_row(connection, execution_id)
    return b"" if row is None else without_body(row.payload)


def dead_letters(
    connection: Connection, flow_id: str | None, cause: str | None, cursor: str | None, limit: int
) -> DeadLetterPage:
    """Return a page of groups. Raises ValueError for an invalid cursor."""
    return execution_lists.dead_letters(connection, flow_id, cause, cursor, limit, _error_of)
