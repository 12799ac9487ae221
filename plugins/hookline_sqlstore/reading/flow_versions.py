"""Stored versions of flows, their test cases, and the flows that are paused or stopped."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, and_, func, select, tuple_

from hookline.api_storage import (
    FlowVersion,
    State,
    StateOverride,
)
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.portions import portions
from hookline_sqlstore.tables import LIVE, executions, flow_cases, flow_overrides, flow_versions

#: The versions that one query names.
_AT_ONCE: Final = 500
_OPEN: Final = and_(executions.c.finished_at.is_(None), LIVE)


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


def cases_of(connection: Connection, flow_id: str) -> bytes | None:
    text: bytes | None = connection.scalar(select(flow_cases.c.text).where(flow_cases.c.flow_id == flow_id))
    return text
