"""What is read: one function for each question, over a plain connection of either database.

None of them may cost more where there are more executions that have ended; a test holds this against SQLite's plans.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, select, text

from hookline.api_storage import (
    FINAL,
    ORDER,
    DeadLetterPage,
    Due,
    Envelope,
    ErrorInfo,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    ExecutionSummary,
    FlowVersion,
    Outcome,
    Progress,
    RejectedPage,
    RejectedRequest,
    State,
    StateEntry,
    StateOverride,
    StatePage,
    StepRecord,
    StepState,
    StoredCredential,
    pack,
    unpack,
)
from hookline_sqlstore.column_values import first_id, micros, moment
from hookline_sqlstore.keys import key_hash
from hookline_sqlstore.reading import lists
from hookline_sqlstore.tables import (
    blob_refs,
    callbacks,
    credentials,
    cursors,
    executions,
    flow_overrides,
    flow_versions,
    item_results,
    journal,
    payloads,
    progress,
    rejected,
    subscriptions,
    waits,
)
from hookline_sqlstore.tables import state as state_
from hookline_sqlstore.writing.statements import PURGED

_error: Final = msgspec.json.Decoder(ErrorInfo)

_ABOUT: Final = tuple(
    column
    for column in executions.c
    if column.key
    not in {"dedupe_key", "dedupe_hash", "dedupe_until", "order_key", "order_seq", "order_holds", "payload", "seal_key"}
)
_OPEN: Final = executions.c.finished_at.is_(None)
_ENDED: Final = executions.c.finished_at.is_not(None)

_THERE: Final = executions.c.state != PURGED
_ONE: Final = select(*_ABOUT).where(executions.c.id == bindparam("id"), _THERE)
_ENVELOPE: Final = (
    select(
        executions.c.id,
        executions.c.flow_id,
        executions.c.created_at,
        executions.c.dedupe_key,
        executions.c.dedupe_until,
        executions.c.order_key,
        executions.c.order_holds,
        executions.c.seal_key,
        func.coalesce(executions.c.payload, payloads.c.payload).label("payload"),
    )
    .select_from(executions.outerjoin(payloads, payloads.c.execution_id == executions.c.id))
    .where(executions.c.id == bindparam("id"), _THERE)
)
_JOURNAL: Final = (
    select(journal)
    .where(journal.c.execution_id == bindparam("id"), journal.c.seq > bindparam("after"))
    .order_by(journal.c.seq)
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
        error_cause=row.error_cause,
        discarded_at=moment(row.discarded_at),
    )


def envelope_of(row: Any) -> Envelope:
    """The message of a row with those columns that aren't packed, and `payload`."""
    return unpack(
        row.payload,
        execution_id=row.id,
        flow_id=row.flow_id,
        accepted_at=moment(row.created_at),
        dedupe_key=None if row.dedupe_key is None else row.dedupe_key.decode(),
        dedupe_until=moment(row.dedupe_until),
        order_key=None if row.order_key is None else row.order_key.decode(),
        order_holds=bool(row.order_holds),
        data_key=row.seal_key,
    )


def readable(row: Any) -> Envelope | None:
    """The message of a row; None if the row has none, or it can't be read.

    The error is raised where that message alone is read, so that the other rows of a page are not affected.
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


def envelope(connection: Connection, execution_id: str) -> Envelope | None:
    row = connection.execute(_ENVELOPE, {"id": execution_id}).one_or_none()
    return None if row is None else envelope_of(row)


_DATA_KEYS: Final = (
    select(executions.c.id, executions.c.seal_key)
    .where(executions.c.seal_key.is_not(None), executions.c.id > bindparam("after"))
    .order_by(executions.c.id)
    .limit(bindparam("limit"))
)


def data_keys(connection: Connection, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
    return [(row.id, row.seal_key) for row in connection.execute(_DATA_KEYS, {"after": after, "limit": limit})]


_ACCEPTED_AS: Final = select(executions.c.id, executions.c.dedupe_until).where(
    executions.c.flow_id == bindparam("flow_id"),
    executions.c.dedupe_hash.is_not(None),
    executions.c.dedupe_hash == bindparam("hash"),
)


def accepted_as(connection: Connection, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
    row = connection.execute(_ACCEPTED_AS, {"flow_id": flow_id, "hash": key_hash(dedupe_key)}).one_or_none()
    if row is None or (row.dedupe_until is not None and row.dedupe_until <= micros(now)):
        return None
    found: str = row.id
    return found


def journal_of(connection: Connection, execution_id: str, after: int, limit: int | None) -> tuple[StepRecord, ...]:
    rows = connection.execute(_JOURNAL.limit(limit), {"id": execution_id, "after": after})
    return tuple(
        StepRecord(
            seq=row.seq,
            id=row.step_id,
            path=row.path,
            use=row.use,
            state=StepState(row.state),
            attempt=row.attempt,
            started_at=moment(row.started_at),
            finished_at=moment(row.finished_at),
            input=row.input,
            output=row.output,
            encrypted=row.sealed,
            error=None if row.error is None else _error.decode(row.error),
            due_at=moment(row.due_at),
            signal=row.signal,
        )
        for row in rows
    )


_ranges: Final = msgspec.json.Decoder(tuple[tuple[int, int], ...])


def progress_of(connection: Connection, execution_id: str) -> tuple[Progress, ...]:
    found = select(progress).where(progress.c.execution_id == execution_id).order_by(progress.c.path)
    return tuple(
        Progress(row.path, row.total, _ranges.decode(row.done), row.failed, moment(row.at))
        for row in connection.execute(found)
    )


def item_results_of(
    connection: Connection, execution_id: str, path: str, after: int, limit: int
) -> tuple[tuple[int, bytes], ...]:
    results = item_results.c
    found = (
        select(results.place, results.result)
        .where(results.execution_id == execution_id, results.path == path, results.place > after)
        .order_by(results.place)
        .limit(limit)
    )
    return tuple((row.place, row.result) for row in connection.execute(found))


_CALLBACKS: Final = (
    select(callbacks.c.path, callbacks.c.payload)
    .join(waits, and_(waits.c.execution_id == callbacks.c.execution_id, waits.c.path == callbacks.c.path))
    .where(callbacks.c.execution_id == bindparam("execution_id"), callbacks.c.payload.is_not(None))
)


def callbacks_of(connection: Connection, execution_id: str) -> dict[str, bytes]:
    rows = connection.execute(_CALLBACKS, {"execution_id": execution_id})
    return {row.path: row.payload for row in rows}


def waits_of(connection: Connection, execution_id: str) -> tuple[str, ...]:
    return tuple(
        connection.scalars(select(waits.c.path).where(waits.c.execution_id == execution_id).order_by(waits.c.path))
    )


def state_of(connection: Connection, flow_id: str, key: str) -> bytes | None:
    value: bytes | None = connection.scalar(
        select(state_.c.value).where(state_.c.flow_id == flow_id, state_.c.key == key)
    )
    return value


def kept(connection: Connection, flow_id: str, cursor: str | None, limit: int) -> StatePage:
    """One page, in the order of the keys. Raises ValueError for a cursor that isn't one."""
    asked = select(state_).where(state_.c.flow_id == flow_id).order_by(state_.c.key).limit(limit + 1)
    if cursor is not None:
        if "\0" in cursor:
            raise ValueError("it is no key")
        asked = asked.where(state_.c.key > cursor)
    found = [StateEntry(row.key, moment(row.updated_at), row.value) for row in connection.execute(asked)]
    return StatePage(tuple(found[:limit]), found[limit - 1].key if len(found) > limit else None)


def cursor_of(connection: Connection, flow_id: str) -> bytes | None:
    value: bytes | None = connection.scalar(select(cursors.c.value).where(cursors.c.flow_id == flow_id))
    return value


def page(connection: Connection, chosen: ExecutionFilter, cursor: str | None, limit: int) -> ExecutionPage:
    """One page, newest first. Raises ValueError for a cursor that isn't one."""
    ids = lists.ids(connection, chosen, cursor, limit + 1, flows_with_work)
    wanted = ids[:limit]
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
    """The payload of a large message as a list needs it: how it came in, and not what it brought."""
    whole = envelope(connection, execution_id)
    if whole is None:
        return b""
    message = msgspec.structs.replace(whole.message, body=None)
    return pack(msgspec.structs.replace(whole, message=message, body_json=b"null", raw=None))


def dead_letters(
    connection: Connection, flow_id: str | None, cause: str | None, cursor: str | None, limit: int
) -> DeadLetterPage:
    """One page of groups. Raises ValueError for a cursor that isn't one."""
    return lists.dead_letters(connection, flow_id, cause, cursor, limit, _error_of)


def due(connection: Connection, after: datetime | None, until: datetime, limit: int) -> tuple[Due, ...]:
    timers = select(executions.c.id, executions.c.flow_id, executions.c.ready_at).where(_TIMER)
    in_time = [executions.c.ready_at <= micros(until)]
    if after is not None:
        in_time.append(executions.c.ready_at > micros(after))
    order = (executions.c.ready_at, executions.c.id)
    rows = connection.execute(timers.where(*in_time).order_by(*order).limit(limit))
    return tuple(Due(row.id, row.flow_id, moment(row.ready_at)) for row in rows)


_TIMER: Final = and_(text("executions.state = 'waiting'"), executions.c.ready_at.is_not(None))


def next_due(connection: Connection, after: datetime) -> datetime | None:
    earliest = select(func.min(executions.c.ready_at)).where(_TIMER, executions.c.ready_at > micros(after))
    found: int | None = connection.scalar(earliest)
    return moment(found)


def flow_document(connection: Connection, flow_id: str, version: str) -> bytes | None:
    document: bytes | None = connection.scalar(
        select(flow_versions.c.document).where(flow_versions.c.flow_id == flow_id, flow_versions.c.version == version)
    )
    return document


def flow_versions_of(connection: Connection, flow_id: str) -> tuple[FlowVersion, ...]:
    """Newest first: of two that began to serve at one time, the later one by its version."""
    versions = flow_versions.c
    found = (
        select(versions.version, versions.created_at, versions.served_at)
        .where(versions.flow_id == flow_id)
        .order_by(versions.served_at.desc(), versions.created_at.desc(), versions.version.desc())
    )
    return tuple(
        FlowVersion(row.version, moment(row.created_at), moment(row.served_at)) for row in connection.execute(found)
    )


def executions_by_version(connection: Connection, flow_id: str) -> dict[tuple[str | None, State], int]:
    rows = connection.execute(
        select(executions.c.flow_version, executions.c.state, func.count())
        .where(_OPEN, executions.c.flow_id == flow_id)
        .group_by(executions.c.flow_version, executions.c.state)
    )
    return {(version, State(state)): count for version, state, count in rows}


def state_overrides(connection: Connection) -> dict[str, StateOverride]:
    return {
        row.flow_id: StateOverride(row.state, row.file_state, moment(row.at))
        for row in connection.execute(select(flow_overrides))
    }


#: From one flow to the next by the index, however many executions each has.
_FLOWS_WITH_WORK: Final = text(
    "WITH RECURSIVE found(flow_id) AS ("
    "SELECT min(flow_id) FROM executions WHERE finished_at IS NULL"
    " UNION ALL SELECT (SELECT min(flow_id) FROM executions WHERE finished_at IS NULL AND flow_id > found.flow_id)"
    " FROM found WHERE found.flow_id IS NOT NULL"
    ") SELECT flow_id FROM found WHERE flow_id IS NOT NULL"
)


def flows_with_work(connection: Connection) -> frozenset[str]:
    return frozenset(connection.scalars(_FLOWS_WITH_WORK))


def backlog(connection: Connection) -> dict[str, tuple[int, datetime]]:
    rows = connection.execute(
        select(executions.c.flow_id, func.count(), func.min(executions.c.created_at))
        .where(_OPEN, executions.c.state == State.QUEUED.value)
        .group_by(executions.c.flow_id)
    )
    return {flow_id: (count, moment(oldest)) for flow_id, count, oldest in rows}


def counts(connection: Connection) -> dict[tuple[str, State], int]:
    rows = connection.execute(
        select(executions.c.flow_id, executions.c.state, func.count())
        .where(_OPEN)
        .group_by(executions.c.flow_id, executions.c.state)
    )
    return {(flow_id, State(state)): count for flow_id, state, count in rows}


def referenced(connection: Connection, blob_ids: Collection[str]) -> frozenset[str]:
    asked = sorted(blob_ids)
    return frozenset(
        blob_id
        for start in range(0, len(asked), 500)
        for blob_id in connection.scalars(
            select(blob_refs.c.blob_id).where(blob_refs.c.blob_id.in_(asked[start : start + 500])).distinct()
        )
    )


def executions_with_files(connection: Connection, ended_before: datetime, limit: int) -> Sequence[str]:
    # What ended before a time was accepted before it, and ids sort by that: so references that are younger aren't read.
    return connection.scalars(
        select(blob_refs.c.execution_id)
        .join(executions, executions.c.id == blob_refs.c.execution_id)
        .where(blob_refs.c.execution_id < first_id(ended_before), executions.c.finished_at < micros(ended_before))
        .group_by(blob_refs.c.execution_id)
        .order_by(blob_refs.c.execution_id)
        .limit(limit)
    ).all()


def executions_with_callbacks(connection: Connection, ended_before: datetime, limit: int) -> Sequence[str]:
    return connection.scalars(
        select(callbacks.c.execution_id)
        .join(executions, executions.c.id == callbacks.c.execution_id)
        .where(callbacks.c.execution_id < first_id(ended_before), executions.c.finished_at < micros(ended_before))
        .group_by(callbacks.c.execution_id)
        .order_by(callbacks.c.execution_id)
        .limit(limit)
    ).all()


def rejected_page(connection: Connection, flow_id: str | None, cursor: str | None, limit: int) -> RejectedPage:
    """One page, newest first. Raises ValueError for a cursor that isn't one."""
    asked = select(rejected).order_by(rejected.c.id.desc()).limit(limit + 1)
    if flow_id is not None:
        asked = asked.where(rejected.c.flow_id == flow_id)
    if cursor is not None:
        asked = asked.where(rejected.c.id < lists.id_of(cursor))
    found = [RejectedRequest(**{**row._mapping, "at": moment(row.at)}) for row in connection.execute(asked)]
    return RejectedPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


def subscription(connection: Connection, flow_id: str) -> bytes | None:
    value: bytes | None = connection.scalar(select(subscriptions.c.value).where(subscriptions.c.flow_id == flow_id))
    return value


def all_subscriptions(connection: Connection) -> dict[str, bytes]:
    return {row.flow_id: row.value for row in connection.execute(select(subscriptions))}


def stored_credentials(connection: Connection) -> tuple[StoredCredential, ...]:
    return tuple(
        StoredCredential(row.name, row.type, row.ciphertext, moment(row.updated_at), row.tokens)
        for row in connection.execute(select(credentials).order_by(credentials.c.name))
    )


_READY: Final = (
    select(executions.c.id)
    .where(
        executions.c.flow_id == bindparam("flow_id"),
        executions.c.ready_at.is_not(None),
        executions.c.ready_at <= bindparam("now"),
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
    executions.c.seal_key,
    executions.c.payload,
).where(executions.c.id.in_(bindparam("ids", expanding=True)))


def ready(
    connection: Connection, flow_id: str, now: datetime, limit: int, *, begun_only: bool = False
) -> Sequence[str]:
    """Ids of the executions of a flow that may be taken now, oldest first; `begun_only`: of those that have started."""
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
    """Rows of executions to deliver: `again` unless they have ended, then those of `ready_ids` that are ready still.

    What `ready` has found may have been run, acknowledged and parked before the caller looked at it.
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
    """Make ready what ran when the process that had the database died. It goes before what was accepted later."""
    with connection.begin():
        connection.execute(_RECOVER, {"now": micros(now)})


_QUEUE_DEPTH: Final = select(func.count()).select_from(
    select(executions.c.id)
    .where(
        executions.c.flow_id == bindparam("flow_id"),
        executions.c.order_key == bindparam("order_key"),
        executions.c.order_seq.is_not(None),
    )
    .limit(bindparam("limit"))
    .subquery("found")
)
_LAST_IN_LINE: Final = text("SELECT max(order_seq) FROM executions WHERE order_seq IS NOT NULL")


def queue_depth(connection: Connection, flow_id: str, order_key: str, limit: int) -> int:
    """Count the executions that hold or await the turn of an order key, up to `limit`."""
    asked = {"flow_id": flow_id, "order_key": order_key.encode(), "limit": limit}
    return connection.scalar(_QUEUE_DEPTH, asked) or 0


def last_in_line(connection: Connection) -> int | None:
    """The greatest place in any line of executions that run in order; None where there is no line."""
    with connection.begin():
        found: int | None = connection.scalar(_LAST_IN_LINE)
    return found
