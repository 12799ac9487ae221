"""Deployments, the versions that are served by them, and the files that they have to write."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, func, select

from hookline.api_storage import Actor, DeployedFlow, Deployment, DeploymentPage, FlowFile, ServedFlow
from hookline_sqlstore import paging
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.tables import deployed_flows, deployments, served_flows, unwritten_files


def served(connection: Connection) -> list[ServedFlow]:
    found = connection.execute(select(served_flows).order_by(served_flows.c.flow_id))
    return [ServedFlow(row.flow_id, row.version, row.deployment_id) for row in found]


def served_after(connection: Connection, deployment_id: str) -> dict[str, str]:
    """Return the versions that were served after a deployment, by flow."""
    newest = (
        select(deployed_flows.c.flow_id, func.max(deployed_flows.c.deployment_id).label("deployment_id"))
        .where(deployed_flows.c.deployment_id <= deployment_id)
        .group_by(deployed_flows.c.flow_id)
        .subquery("newest")
    )
    found = select(deployed_flows.c.flow_id, deployed_flows.c.version).join(
        newest,
        (deployed_flows.c.flow_id == newest.c.flow_id) & (deployed_flows.c.deployment_id == newest.c.deployment_id),
    )
    return {row.flow_id: row.version for row in connection.execute(found) if row.version is not None}


def deployment(connection: Connection, deployment_id: str) -> Deployment | None:
    found = _deployments(connection, select(deployments).where(deployments.c.id == deployment_id), None)
    return found[0] if found else None


def deployment_page(
    connection: Connection, flows: Collection[str] | None, cursor: str | None, limit: int
) -> DeploymentPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    asked = select(deployments).order_by(deployments.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        asked = asked.where(deployments.c.id < paging.id_of(cursor))
    if flows is not None:
        changed = select(deployed_flows.c.deployment_id).where(deployed_flows.c.flow_id.in_(flows))
        asked = asked.where(deployments.c.id.in_(changed))
    return DeploymentPage(*paging.page(_deployments(connection, asked, flows), limit))


def _deployments(connection: Connection, asked: Select[Any], flows: Collection[str] | None) -> list[Deployment]:
    rows = list(connection.execute(asked))
    changed = (
        select(deployed_flows)
        .where(deployed_flows.c.deployment_id.in_([row.id for row in rows]))
        .order_by(deployed_flows.c.flow_id)
    )
    of: dict[str, list[DeployedFlow]] = {row.id: [] for row in rows}
    for row in connection.execute(changed):
        if flows is None or row.flow_id in flows:
            of[row.deployment_id].append(DeployedFlow(row.flow_id, row.version, row.before))
    return [
        Deployment(
            row.id,
            moment(row.at),
            Actor.from_text(row.author, row.address),
            tuple(of[row.id]),
            row.message,
            row.rollback_of,
        )
        for row in rows
    ]


def files_to_write(connection: Connection) -> list[FlowFile]:
    found = connection.execute(select(unwritten_files).order_by(unwritten_files.c.flow_id, unwritten_files.c.kind))
    return [FlowFile(row.flow_id, row.kind, row.text, row.replaces) for row in found]
