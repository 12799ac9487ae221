"""Journals, and the progress of items."""

from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from hookline.api_storage import (
    ErrorInfo,
    Progress,
    StepRecord,
    StepState,
)
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.tables import (
    item_results,
    journal,
    progress,
)

_error: Final = msgspec.json.Decoder(ErrorInfo)
_ranges: Final = msgspec.json.Decoder(tuple[tuple[int, int], ...])


_JOURNAL: Final = (
    select(journal)
    .where(journal.c.execution_id == bindparam("id"), journal.c.seq > bindparam("after"))
    .order_by(journal.c.seq)
)


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
            encrypted=row.encrypted,
            error=None if row.error is None else _error.decode(row.error),
            due_at=moment(row.due_at),
            signal=row.signal,
        )
        for row in rows
    )


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
