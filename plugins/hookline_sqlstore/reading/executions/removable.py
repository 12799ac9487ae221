"""Ended executions, versions of flows and dedupe keys that may be removed, and references to files."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, select, text

from hookline_sqlstore.column_values import first_id, micros
from hookline_sqlstore.flow_ids_by_index import flow_ids
from hookline_sqlstore.tables import (
    LIVE,
    UNDECIDED,
    blob_refs,
    dedupe_keys,
    deployed_flows,
    deployments,
    executions,
    flow_versions,
)

_FLOWS: Final = text(flow_ids("executions"))


def flows(connection: Connection) -> frozenset[str]:
    return frozenset(connection.scalars(_FLOWS))


def purgeable(
    connection: Connection, flow_id: str | None, ended_before: datetime, limit: int, after: str, up_to: str | None
) -> Sequence[str]:
    # An execution that ended before a time was accepted before it, and ids sort by that: younger ones aren't read.
    chosen: list[ColumnElement[bool]] = [
        executions.c.id > after,
        executions.c.id < first_id(ended_before),
        executions.c.finished_at < micros(ended_before),
        executions.c.history,
    ]
    if flow_id is not None:
        chosen.append(executions.c.flow_id == flow_id)
    if up_to is not None:
        chosen.append(executions.c.id <= up_to)
    return connection.scalars(select(executions.c.id).where(*chosen).order_by(executions.c.id).limit(limit)).all()


def first_too_many(connection: Connection, flow_id: str, count: int) -> str | None:
    newest = (
        select(executions.c.id)
        .where(executions.c.flow_id == flow_id, executions.c.history)
        .order_by(executions.c.id.desc())
    )
    found: str | None = connection.scalar(newest.limit(1).offset(count))
    return found


def spent_versions(connection: Connection, flow_id: str, keep: int, newest: int) -> Sequence[str]:
    versions = flow_versions.c
    served = connection.execute(
        select(versions.version, versions.served_at)
        .where(versions.flow_id == flow_id)
        .order_by(versions.served_at.desc(), versions.created_at.desc(), versions.version.desc())
    ).all()
    if len(served) <= keep:
        return ()
    # A dead letter may run again, on its own version.
    bound = {
        version
        for needed in (executions.c.finished_at.is_(None), text(f"finished_at IS NOT NULL AND {UNDECIDED}"))
        for version in connection.scalars(
            select(executions.c.flow_version).where(needed, executions.c.flow_id == flow_id, LIVE).distinct()
        )
    }
    bound |= _deployed_lately(connection, flow_id, newest)
    oldest: int | None = connection.scalar(
        select(executions.c.created_at).where(executions.c.flow_id == flow_id).order_by(executions.c.id).limit(1)
    )
    # An execution runs on the version that serves when it starts. So a version that was replaced before the oldest
    # stored execution was accepted has run none of them.
    return tuple(
        one.version
        for next_, one in zip(served[keep - 1 :], served[keep:], strict=False)
        if one.version not in bound and (oldest is None or next_.served_at < oldest)
    )


def _deployed_lately(connection: Connection, flow_id: str, newest: int) -> set[str | None]:
    """The versions of a flow that served after one of the newest deployments, of whatever flows."""
    if newest == 0:
        return set()
    ids = select(deployments.c.id).order_by(deployments.c.id.desc())
    first: str = connection.scalar(ids.offset(newest - 1).limit(1)) or ""
    mine = select(deployed_flows.c.version).where(deployed_flows.c.flow_id == flow_id)
    # The one that served after the first of them may come from an earlier one.
    after_first = mine.where(deployed_flows.c.deployment_id <= first).order_by(deployed_flows.c.deployment_id.desc())
    later = mine.where(deployed_flows.c.deployment_id > first)
    return {*connection.scalars(after_first.limit(1)), *connection.scalars(later)}


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
    # An execution that ended before a time was accepted before it, and ids sort by that: younger ones aren't read.
    return connection.scalars(
        select(blob_refs.c.execution_id)
        .join(executions, executions.c.id == blob_refs.c.execution_id)
        .where(
            blob_refs.c.execution_id < first_id(ended_before),
            executions.c.finished_at < micros(ended_before),
            executions.c.history,
        )
        .group_by(blob_refs.c.execution_id)
        .order_by(blob_refs.c.execution_id)
        .limit(limit)
    ).all()


def has_spent_keys(connection: Connection, at: datetime) -> bool:
    return bool(connection.scalar(select(exists().where(dedupe_keys.c.until <= micros(at)))))
