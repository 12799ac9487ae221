"""Tokens, sessions, sign-ins and the audit."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, exists, or_, select

from hookline.api_storage import (
    Actor,
    AuditEntry,
    AuditFilter,
    AuditPage,
    RejectedSignIn,
    RejectedSignInPage,
    Session,
    SignInCode,
    Token,
    TokenScope,
)
from hookline_sqlstore import paging
from hookline_sqlstore.column_values import first_id, micros, moment
from hookline_sqlstore.tables import audit, rejected_sign_ins, sessions, sign_in_codes, tokens


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
        asked = asked.where(audit.c.id < paging.id_of(cursor))
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
    return AuditPage(*paging.page([_entry(row) for row in connection.execute(asked)], limit))


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
        asked = asked.where(rejected_sign_ins.c.id < paging.id_of(cursor))
    return RejectedSignInPage(*paging.page([_rejected(row) for row in connection.execute(asked)], limit))


def _rejected(row: Any) -> RejectedSignIn:
    return RejectedSignIn(row.id, moment(row.at), row.address, row.reason, row.token)
