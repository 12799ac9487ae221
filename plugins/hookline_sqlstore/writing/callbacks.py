"""Callbacks: each finds its waiting step, or waits for that step. These changes take more than one statement."""

import hashlib
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, update

from hookline.api_storage import (
    MAX_EARLY_CALLBACKS,
    AuditEntry,
    CallbackOutcome,
    CallbackRepeated,
    CallbackStored,
    NotWaiting,
    TooManyEarlyCallbacks,
    WaitTimedOut,
)
from hookline_sqlstore.tables import LIVE, blob_refs, callbacks, executions, waits
from hookline_sqlstore.writing.access import record_audit


class CallbackRow(NamedTuple):
    """A callback: for one step if it has a path, otherwise for a step that waits with its key."""

    id: str
    execution_id: str | None
    path: str | None
    flow_id: str
    step_id: str
    key_hash: bytes | None
    digest: bytes
    at: int
    until: int | None
    payload: bytes
    blob_ids: tuple[str, ...]
    audit: AuditEntry | None = None
    """Recorded if the callback is stored."""


class EndRow(NamedTuple):
    """A callback that reports the end of an execution."""

    ended_id: str
    callback: CallbackRow


class ClaimRow(NamedTuple):
    """A step that waits for a callback with a key."""

    execution_id: str
    path: str
    flow_id: str
    step_id: str
    key_hash: bytes
    at: int


class TimeoutRow(NamedTuple):
    """A step whose time to wait is over."""

    id: str
    execution_id: str
    path: str
    flow_id: str
    step_id: str
    at: int


def call_back(connection: Connection, row: CallbackRow) -> CallbackOutcome:
    """Store a callback for its step and make the execution ready, unless another callback came first."""
    outcome = _call_back(connection, row)
    if isinstance(outcome, CallbackStored) and row.audit is not None:
        record_audit(connection, (row.audit,))
    return outcome


def _call_back(connection: Connection, row: CallbackRow) -> CallbackOutcome:
    if row.execution_id is not None and row.path is not None:
        return _to_step(connection, row, row.execution_id, row.path)
    _lock_key(connection, row)
    asked = _asking(connection, row)
    if asked is not None:
        return _to_step(connection, row, *asked)
    return _repeated_by_key(connection, row) or _early(connection, row)


def claim(connection: Connection, row: ClaimRow) -> None:
    """Give an early callback with its key to a step that begins to wait, unless one came for the step itself."""
    _lock_key(connection, row)
    own = callbacks.c.execution_id == row.execution_id, callbacks.c.path == row.path
    if connection.scalar(select(callbacks.c.id).where(*own)) is not None:
        return
    early = _with_key(row) & callbacks.c.execution_id.is_(None) & (callbacks.c.until > row.at)
    callback_id = connection.scalar(select(callbacks.c.id).where(early))
    if callback_id is None:
        return
    taken = update(callbacks).where(callbacks.c.id == callback_id)
    connection.execute(taken.values(execution_id=row.execution_id, path=row.path, until=None))
    references = update(blob_refs).where(blob_refs.c.execution_id == callback_id)
    connection.execute(references.values(execution_id=row.execution_id))


def tell_cancelled(connection: Connection, row: EndRow) -> CallbackOutcome | None:
    """Store the callback that reports the end of an execution, if it was cancelled before it ever ran."""
    never_ran = select(executions.c.id).where(
        executions.c.id == row.ended_id, executions.c.state == "cancelled", executions.c.started_at.is_(None)
    )
    return call_back(connection, row.callback) if connection.scalar(never_ran) is not None else None


def time_out(connection: Connection, row: TimeoutRow) -> WaitTimedOut | CallbackStored:
    """Accept no more callbacks, unless one has come."""
    known = select(callbacks.c.payload.is_(None)).where(
        callbacks.c.execution_id == row.execution_id, callbacks.c.path == row.path
    )
    timed_out = connection.scalar(known)
    if timed_out is not None:
        return WaitTimedOut() if timed_out else CallbackStored(row.execution_id)
    connection.execute(insert(callbacks).values(**row._asdict()))
    return WaitTimedOut()


def _to_step(connection: Connection, row: CallbackRow, execution_id: str, path: str) -> CallbackOutcome:
    at_step = and_(callbacks.c.execution_id == execution_id, callbacks.c.path == path)
    known = connection.execute(select(callbacks.c.digest, callbacks.c.payload.is_(None)).where(at_step)).one_or_none()
    if known is not None:
        digest, timed_out = known
        return NotWaiting() if timed_out else CallbackRepeated(execution_id, identical=digest == row.digest)
    # Locked: if another node parks it now, the statement below sees it parked, or the parking sees the callback.
    is_open = select(executions.c.id).where(executions.c.id == execution_id, executions.c.finished_at.is_(None), LIVE)
    if connection.scalar(is_open.with_for_update(key_share=True)) is None:
        return NotWaiting()
    _keep(connection, row, owner=execution_id, execution_id=execution_id, path=path, until=None)
    waiting = exists().where(waits.c.execution_id == execution_id, waits.c.path == path)
    ready = update(executions).where(executions.c.id == execution_id, executions.c.state == "waiting", waiting, LIVE)
    connection.execute(ready.values(ready_at=row.at))
    return CallbackStored(execution_id)


def _asking(connection: Connection, row: CallbackRow) -> tuple[str, str] | None:
    """Find the step that has waited longest with the callback's key."""
    answered = exists().where(callbacks.c.execution_id == waits.c.execution_id, callbacks.c.path == waits.c.path)
    found = connection.execute(
        select(waits.c.execution_id, waits.c.path)
        .where(
            waits.c.flow_id == row.flow_id,
            waits.c.step_id == row.step_id,
            waits.c.key_hash == row.key_hash,
            ~answered,
        )
        .order_by(waits.c.opened_at, waits.c.execution_id)
        .limit(1)
    ).one_or_none()
    return None if found is None else (found.execution_id, found.path)


def _repeated_by_key(connection: Connection, row: CallbackRow) -> CallbackRepeated | None:
    """Return the earlier callback with the key, if it is identical or its execution has not ended."""
    before = connection.execute(
        select(callbacks.c.execution_id, callbacks.c.digest, executions.c.finished_at)
        .outerjoin(executions, executions.c.id == callbacks.c.execution_id)
        .where(_with_key(row), callbacks.c.payload.is_not(None), func.coalesce(callbacks.c.until, row.at + 1) > row.at)
        .order_by(callbacks.c.id.desc())
        .limit(1)
    ).one_or_none()
    if before is None:
        return None
    if before.digest == row.digest:
        return CallbackRepeated(before.execution_id, identical=True)
    ended = before.execution_id is not None and before.finished_at is not None
    return None if ended else CallbackRepeated(before.execution_id, identical=False)


def _early(connection: Connection, row: CallbackRow) -> CallbackOutcome:
    """Store a callback for whose key no step waits yet."""
    mine = and_(callbacks.c.flow_id == row.flow_id, callbacks.c.step_id == row.step_id)
    over = connection.scalars(
        select(callbacks.c.id).where(mine, callbacks.c.execution_id.is_(None), callbacks.c.until <= row.at)
    ).all()
    if over:
        connection.execute(delete(callbacks).where(callbacks.c.id.in_(over)))
        connection.execute(delete(blob_refs).where(blob_refs.c.execution_id.in_(over)))
    kept = connection.scalar(select(func.count()).where(mine, callbacks.c.until.is_not(None)))
    if kept is not None and kept >= MAX_EARLY_CALLBACKS:
        return TooManyEarlyCallbacks()
    _keep(connection, row, owner=row.id, execution_id=None, path=None, until=row.until)
    return CallbackStored(None)


def _keep(
    connection: Connection,
    row: CallbackRow,
    *,
    owner: str,
    execution_id: str | None,
    path: str | None,
    until: int | None,
) -> None:
    values = {**row._asdict(), "execution_id": execution_id, "path": path, "until": until}
    del values["blob_ids"], values["audit"]
    connection.execute(insert(callbacks).values(**values))
    if row.blob_ids:
        connection.execute(
            insert(blob_refs), [{"blob_id": blob_id, "execution_id": owner} for blob_id in dict.fromkeys(row.blob_ids)]
        )


def _lock_key(connection: Connection, row: CallbackRow | ClaimRow) -> None:
    """Lock a key until the end of the transaction, if several transactions run at a time.

    Otherwise a step that begins to wait on one node, and a callback on another, could each miss the other.
    """
    if connection.dialect.name != "postgresql":
        return
    name = b"\n".join((row.flow_id.encode(), row.step_id.encode(), row.key_hash or b""))
    number = int.from_bytes(hashlib.sha256(name).digest()[:8], signed=True)
    connection.execute(select(func.pg_advisory_xact_lock(number)))


def _with_key(row: CallbackRow | ClaimRow) -> Any:
    return and_(
        callbacks.c.flow_id == row.flow_id,
        callbacks.c.step_id == row.step_id,
        callbacks.c.key_hash == row.key_hash,
    )
