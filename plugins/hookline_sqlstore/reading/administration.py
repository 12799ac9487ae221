"""Deployments, tokens, sessions, the audit, rejected sign-ins, and problems of nodes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, exists, func, or_, select

from hookline.api_storage import (
    Actor,
    AuditEntry,
    AuditFilter,
    AuditPage,
    DeployedFlow,
    Deployment,
    DeploymentPage,
    FlowFile,
    NodeProblem,
    RejectedSignIn,
    RejectedSignInPage,
    ServedFlow,
    Session,
    SharedSecrets,
    SignInCode,
    Token,
    TokenScope,
)
from hookline_sqlstore.column_values import first_id, micros, moment
from hookline_sqlstore.reading import lists
from hookline_sqlstore.tables import (
    audit,
    cluster,
    deployed_flows,
    deployments,
    flow_cases,
    node_problems,
    rejected_sign_ins,
    secret_keys,
    served_flows,
    sessions,
    sign_in_codes,
    tokens,
    unwritten_files,
)

_T = TypeVar("_T")


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
        asked = asked.where(deployments.c.id < lists.id_of(cursor))
    if flows is not None:
        changed = select(deployed_flows.c.deployment_id).where(deployed_flows.c.flow_id.in_(flows))
        asked = asked.where(deployments.c.id.in_(changed))
    return DeploymentPage(*_page(_deployments(connection, asked, flows), limit))


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


def cases_of(connection: Connection, flow_id: str) -> bytes | None:
    text: bytes | None = connection.scalar(select(flow_cases.c.text).where(flow_cases.c.flow_id == flow_id))
    return text


def all_tokens(connection: Connection) -> list[Token]:
    return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.id.desc()))]


def token_of(connection: Connection, digest: bytes) -> Token | None:
    row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
    return None if row is None else _token(row)


def token_by_id(connection: Connection, token_id: str) -> Token | None:
    row = connection.execute(select(tokens).where(tokens.c.id == token_id)).first()
    return None if row is None else _token(row)


def session_of(connection: Connection, digest: bytes) -> Session | None:
    row = connection.execute(select(sessions).where(sessions.c.digest == digest)).first()
    if row is None:
        return None
    return Session(row.digest, row.id, row.token, moment(row.created_at), moment(row.expires_at))


def sign_in_code_of(connection: Connection, digest: bytes) -> SignInCode | None:
    row = connection.execute(select(sign_in_codes).where(sign_in_codes.c.digest == digest)).first()
    if row is None:
        return None
    return SignInCode(row.digest, row.id, row.token, moment(row.expires_at), moment(row.session_expires_at))


def has_expired_sessions(connection: Connection, at: datetime) -> bool:
    expired = [exists().where(table.c.expires_at <= micros(at)) for table in (sessions, sign_in_codes)]
    return bool(connection.scalar(select(or_(*expired))))


def instance_id(connection: Connection) -> str:
    return str(connection.scalar(select(cluster.c.instance_id)))


def shared_secrets(connection: Connection) -> SharedSecrets:
    """Return the ids and the hash by which the nodes share secrets."""
    in_use = select(secret_keys.c.id).where(secret_keys.c.retired_at.is_(None)).order_by(secret_keys.c.id)
    return SharedSecrets(tuple(connection.scalars(in_use)), connection.scalar(select(cluster.c.admin_token)))


def _token(row: Any) -> Token:
    return Token(
        row.id,
        row.name,
        tuple(TokenScope(scope) for scope in row.scopes.split()),
        moment(row.created_at),
        row.created_by,
        moment(row.expires_at),
        None if row.flows is None else msgspec.json.decode(row.flows, type=tuple[str, ...]),
        moment(row.revoked_at),
    )


def audit_page(connection: Connection, chosen: AuditFilter, cursor: str | None, limit: int) -> AuditPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    asked = select(audit).order_by(audit.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        asked = asked.where(audit.c.id < lists.id_of(cursor))
    if chosen.since is not None:
        asked = asked.where(audit.c.id >= first_id(chosen.since))
    if chosen.until is not None:
        asked = asked.where(audit.c.id < first_id(chosen.until))
    if chosen.flows is not None:
        asked = asked.where(audit.c.flow_id.in_(chosen.flows))
    for column, wanted in (
        (audit.c.actor, chosen.actor),
        (audit.c.operation, chosen.operation),
        (audit.c.subject, chosen.subject),
    ):
        if wanted is not None:
            asked = asked.where(column == wanted)
    return AuditPage(*_page(_made(_entry, connection.execute(asked)), limit))


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        row.id,
        moment(row.at),
        Actor.from_text(row.actor, row.address),
        row.operation,
        row.flow_id,
        row.flow_version,
        row.subject,
        row.detail,
    )


def rejected_sign_in_page(connection: Connection, cursor: str | None, limit: int) -> RejectedSignInPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    asked = select(rejected_sign_ins).order_by(rejected_sign_ins.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        asked = asked.where(rejected_sign_ins.c.id < lists.id_of(cursor))
    return RejectedSignInPage(*_page(_made(_rejected, connection.execute(asked)), limit))


def _rejected(row: Any) -> RejectedSignIn:
    return RejectedSignIn(row.id, moment(row.at), row.address, row.reason, row.token)


def _made(make: Callable[[Any], _T], rows: Iterable[Any]) -> list[_T]:
    return [make(row) for row in rows]


def _page(found: Sequence[Any], limit: int) -> tuple[tuple[Any, ...], str | None]:
    """The items of a page, and the id after which the next begins."""
    return tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None


def problems(connection: Connection, since: datetime) -> list[NodeProblem]:
    """Return the problems that nodes have reported since a time, each once."""
    columns = node_problems.c
    same = (columns.kind, columns.subject, columns.detail)
    found = (
        select(*same, func.min(columns.since).label("since"))
        .where(columns.at >= micros(since))
        .group_by(*same)
        .order_by(*same)
    )
    return [NodeProblem(row.kind, row.subject, row.detail, moment(row.since)) for row in connection.execute(found)]
