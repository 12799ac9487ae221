"""The room that executions take, and the disk usage of the database.

The rows are measured by their values and a fixed share for the rest of a row and its entries in indexes. Neither SQLite
nor PostgreSQL reads a long value to tell its length.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from hookline.api_storage import DiskUsage, FileUse, FileUsePage, RowUsage, RowUsagePage
from hookline_sqlstore.tables import LIVE, UNDECIDED, blob_refs, dedupe_keys, executions

#: Bytes of an execution beside its message: its columns, and its entries in about six indexes.
_EXECUTION: Final = 550
#: Bytes of another row beside its values.
_ROW: Final = 90

#: Bytes of a dedupe key: its row, and its entries in two indexes.
_KEY: Final = 250

_KIND: Final = f"CASE WHEN executions.history THEN 'ended' WHEN {UNDECIDED} THEN 'dead' ELSE 'kept' END"

#: The tables with rows of an execution, and their columns that can be long.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "payloads": ("payload",),
    "journal": ("step_id", "path", "use", "error", "input", "output", "encrypted"),
    "item_results": ("path", "result"),
    "callbacks": ("payload",),
    "batch_members": ("body", "attachments"),
    "blob_refs": ("blob_id",),
    "tags": ("name", "value"),
}
_OWN: Final = ("payload", "dedupe_key", "order_key", "vars", "data_key", "error_message", "error_cause")


def _measured(length: str) -> str:
    """SQL of executions with the bytes of their rows; `length` is the database's function for stored bytes."""

    def total(table: str, columns: Sequence[str], row: int) -> str:
        return " + ".join([str(row), *(f'coalesce({length}({table}."{column}"), 0)' for column in columns)])

    parts = "".join(
        f" + coalesce((SELECT sum({total(table, columns, _ROW)}) FROM {table}"  # noqa: S608 - our own names
        f" WHERE {table}.execution_id = executions.id), 0)"
        for table, columns in _PARTS.items()
    )
    return (
        f"SELECT executions.id AS id, executions.flow_id AS flow_id, {_KIND} AS kind,"  # noqa: S608 - our own names
        f" {total('executions', _OWN, _EXECUTION)}{parts} AS size FROM executions"
    )


#: By dialect.
_MEASURED: Final = {"sqlite": _measured("length"), "postgresql": _measured("pg_column_size")}


#: By dialect.
_BY_FLOW: Final = {
    dialect: text(
        f"WITH measured AS MATERIALIZED ({measured} WHERE executions.id > :after AND executions.id <= :last)"  # noqa: S608 - our own names
        " SELECT flow_id, sum(size) AS used,"
        " sum(CASE WHEN kind = 'ended' THEN size ELSE 0 END) AS purgeable,"
        " sum(CASE WHEN kind = 'dead' THEN size ELSE 0 END) AS dead_letters"
        " FROM measured GROUP BY flow_id"
    )
    for dialect, measured in _MEASURED.items()
}
_FILES: Final = text(
    "SELECT blob_id, flow_id, min(CASE WHEN kind = 'ended' THEN 1 ELSE 0 END) AS purgeable,"  # noqa: S608 - our own names
    " max(CASE WHEN kind = 'dead' THEN 1 ELSE 0 END) AS dead_letter FROM ("
    f"SELECT blob_refs.blob_id AS blob_id, executions.flow_id AS flow_id, {_KIND} AS kind"
    " FROM blob_refs JOIN executions ON executions.id = blob_refs.execution_id"
    " WHERE blob_refs.blob_id > :after AND blob_refs.blob_id <= :last"
    ") AS used GROUP BY blob_id, flow_id ORDER BY blob_id, flow_id"
)
_KEYS_BY_FLOW: Final = select(dedupe_keys.c.flow_id, func.count()).group_by(dedupe_keys.c.flow_id)
#: Sorts after all ids.
_END: Final = "~"


def row_usage(connection: Connection, after: str, limit: int) -> RowUsagePage:
    last = connection.scalar(
        select(executions.c.id).where(executions.c.id > after).order_by(executions.c.id).limit(1).offset(limit - 1)
    )
    _only_by_indexes(connection)
    found = connection.execute(_BY_FLOW[connection.dialect.name], {"after": after, "last": last or _END})
    items = {
        row.flow_id: RowUsage(row.flow_id, int(row.used), int(row.purgeable), int(row.dead_letters)) for row in found
    }
    if last is None:
        # They belong to no execution: most outlive theirs, or will.
        for flow_id, count in connection.execute(_KEYS_BY_FLOW):
            known = items.get(flow_id, RowUsage(flow_id, 0, 0, 0))
            items[flow_id] = replace(known, used=known.used + count * _KEY)
    return RowUsagePage(list(items.values()), last)


def _only_by_indexes(connection: Connection) -> None:
    """Keep PostgreSQL from reading a whole table for each execution, as it does by the statistics of a table that was
    empty a minute ago."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")


def freed_by_purging(connection: Connection, execution_ids: Sequence[str]) -> Mapping[str, int]:
    query = text(
        "SELECT id, size AS freed"  # noqa: S608 - our own names
        f" FROM ({_MEASURED[connection.dialect.name]} WHERE executions.id IN :ids) AS measured WHERE kind = 'ended'"
    ).bindparams(bindparam("ids", expanding=True))
    _only_by_indexes(connection)
    return {row.id: int(row.freed) for row in connection.execute(query, {"ids": list(execution_ids)})}


def file_usage(connection: Connection, after: str, limit: int) -> FileUsePage:
    blob_id = blob_refs.c.blob_id
    last = connection.scalar(
        select(blob_id).where(blob_id > after).group_by(blob_id).order_by(blob_id).limit(1).offset(limit - 1)
    )
    _only_by_indexes(connection)
    found = connection.execute(_FILES, {"after": after, "last": last or _END})
    return FileUsePage(
        [FileUse(row.blob_id, row.flow_id, bool(row.purgeable), bool(row.dead_letter)) for row in found], last
    )


def files_of(connection: Connection, execution_ids: Sequence[str]) -> Mapping[str, Collection[str]]:
    found: dict[str, set[str]] = {}
    for row in connection.execute(
        select(blob_refs.c.execution_id, blob_refs.c.blob_id).where(blob_refs.c.execution_id.in_(execution_ids))
    ):
        found.setdefault(row.execution_id, set()).add(row.blob_id)
    return found


def execution_count(connection: Connection) -> int:
    """Count by two indexes."""
    open_ = select(func.count()).select_from(executions).where(executions.c.finished_at.is_(None), LIVE)
    ended = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.finished_at.is_not(None), executions.c.state.in_(("succeeded", "failed", "cancelled")))
    )
    return int(connection.scalar(open_) or 0) + int(connection.scalar(ended) or 0)


def disk_usage(connection: Connection) -> DiskUsage:
    return _of_file(connection) if connection.dialect.name == "sqlite" else _of_schema(connection)


def _of_file(connection: Connection) -> DiskUsage:
    def pragma(name: str) -> int:
        value: int = connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        return value

    size = pragma("page_size")
    # The first is the file; a database for temporary tables may follow.
    file = connection.exec_driver_sql("PRAGMA database_list").all()[0][2]
    log = Path(f"{file}-wal")
    # The log is copied to the file from time to time, and then written over.
    logged = log.stat().st_size if log.exists() else 0
    return DiskUsage(total=pragma("page_count") * size + logged, free=pragma("freelist_count") * size + logged)


def _of_schema(connection: Connection) -> DiskUsage:
    total = connection.scalar(
        text(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint"
            " FROM pg_class WHERE relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace"
        )
    )
    return DiskUsage(total=int(total or 0), free=None)
