"""Stored values, versions, test cases, state overrides and rejected requests of flows."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, func, select, tuple_

from hookline.api_storage import (
    FlowVersion,
    RejectedPage,
    RejectedRequest,
    RejectionReason,
    Rejections,
    State,
    StateEntry,
    StateOverride,
    StatePage,
)
from hookline_sqlstore import paging
from hookline_sqlstore.column_values import first_id, moment
from hookline_sqlstore.portions import portions
from hookline_sqlstore.tables import LIVE, cursors, executions, flow_cases, flow_overrides, flow_versions, rejected
from hookline_sqlstore.tables import state as state_

#: The versions that one query names.
_AT_ONCE: Final = 500
_OPEN: Final = and_(executions.c.finished_at.is_(None), LIVE)


def state_of(connection: Connection, flow_id: str, key: str) -> bytes | None:
    value: bytes | None = connection.scalar(
        select(state_.c.value).where(state_.c.flow_id == flow_id, state_.c.key == key)
    )
    return value


def state_entries(connection: Connection, flow_id: str, cursor: str | None, limit: int) -> StatePage:
    """Return a page, in the order of the keys. Raises ValueError for an invalid cursor."""
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


def flow_document(connection: Connection, flow_id: str, version: str) -> bytes | None:
    document: bytes | None = connection.scalar(
        select(flow_versions.c.document).where(flow_versions.c.flow_id == flow_id, flow_versions.c.version == version)
    )
    return document


def flow_documents(connection: Connection, versions: Collection[tuple[str, str]]) -> dict[str, bytes]:
    """Return the documents of versions, by flow."""
    found: dict[str, bytes] = {}
    wanted, columns = list(versions), flow_versions.c
    for some in portions(wanted, _AT_ONCE):
        these = tuple_(columns.flow_id, columns.version).in_(some)
        found |= {
            row.flow_id: row.document
            for row in connection.execute(select(columns.flow_id, columns.document).where(these))
        }
    return found


def flow_versions_of(connection: Connection, flow_id: str) -> tuple[FlowVersion, ...]:
    """Return versions, newest first; versions that began to serve at the same time are ordered by name."""
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


def rejected_page(
    connection: Connection, flow_id: str | None, code: str | None, cursor: str | None, limit: int
) -> RejectedPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    asked = select(rejected).order_by(rejected.c.id.desc()).limit(limit + 1)
    if flow_id is not None:
        asked = asked.where(rejected.c.flow_id == flow_id)
    if code is not None:
        asked = asked.where(rejected.c.code == code)
    if cursor is not None:
        asked = asked.where(rejected.c.id < paging.id_of(cursor))
    found = [RejectedRequest(**{**row._mapping, "at": moment(row.at)}) for row in connection.execute(asked)]
    return RejectedPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


def rejection_reasons(connection: Connection) -> list[RejectionReason]:
    reason = (rejected.c.flow_id, rejected.c.code)
    groups = select(*reason, func.count().label("amount"), func.max(rejected.c.at).label("newest_at")).group_by(*reason)
    return [
        RejectionReason(row.flow_id, row.code, row.amount, moment(row.newest_at))
        for row in connection.execute(groups.order_by(*reason))
    ]


def rejected_since(connection: Connection, since: datetime) -> dict[str, Rejections]:
    # The rows of all flows are few, and the newest of them are found by the key.
    groups = (
        select(rejected.c.flow_id, func.count().label("amount"), func.min(rejected.c.at).label("first_at"))
        .add_columns(func.max(rejected.c.id).label("newest"))
        .where(rejected.c.id >= first_id(since))
        .group_by(rejected.c.flow_id)
    )
    found = connection.execute(groups).all()
    newest = connection.execute(select(rejected).where(rejected.c.id.in_([row.newest for row in found])))
    known = {row.flow_id: RejectedRequest(**{**row._mapping, "at": moment(row.at)}) for row in newest}
    return {
        row.flow_id: Rejections(row.amount, moment(row.first_at), known[row.flow_id])
        for row in found
        if row.flow_id in known
    }


def cases_of(connection: Connection, flow_id: str) -> bytes | None:
    text: bytes | None = connection.scalar(select(flow_cases.c.text).where(flow_cases.c.flow_id == flow_id))
    return text
