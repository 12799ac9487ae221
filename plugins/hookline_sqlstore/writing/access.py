"""The writes of tokens, sessions, sign-ins and the audit.

They are few, so each is a function for one change, and not a statement over the rows of many commits.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from hookline.api_storage import (
    MAX_SIGN_INS_KEPT,
    AuditEntry,
    CreateSession,
    CreateSignInCode,
    CreateToken,
    RejectedSignIn,
    RevokeToken,
    SignInCodeUsed,
    TokenNameTaken,
    TokenNotFound,
)
from hookline_sqlstore.column_values import micros, storable
from hookline_sqlstore.portions import portions
from hookline_sqlstore.tables import (
    audit,
    rejected_sign_ins,
    sessions,
    sign_in_codes,
    tokens,
)

#: The rows of a table that one commit removes at most.
_FORGOTTEN_AT_ONCE = 500


def create_token(connection: Connection, change: CreateToken) -> None:
    """Store a token. Raises TokenNameTaken."""
    token = change.token
    taken = select(tokens.c.id).where(tokens.c.name == token.name, tokens.c.revoked_at.is_(None))
    if connection.scalar(taken) is not None:
        raise TokenNameTaken(f"a token has the name {token.name!r} already; revoke it first, or choose another name")
    row = {
        "id": token.id,
        "name": token.name,
        "digest": change.digest,
        "scopes": " ".join(token.scopes),
        "created_at": micros(token.created_at),
        "created_by": token.created_by,
        "expires_at": micros(token.expires_at),
        "flows": None if token.flows is None else msgspec.json.encode(token.flows),
        "revoked_at": micros(token.revoked_at),
    }
    connection.execute(insert(tokens).values(row))


def revoke_token(connection: Connection, change: RevokeToken) -> None:
    """End a token. Raises TokenNotFound."""
    this = update(tokens).where(tokens.c.id == change.id, tokens.c.revoked_at.is_(None))
    if connection.execute(this.values(revoked_at=micros(change.at))).rowcount == 0:
        raise TokenNotFound(f"there is no token {change.id!r}, or it was revoked before")


def create_session(connection: Connection, change: CreateSession) -> None:
    """Store a session."""
    session = change.session
    row = {
        "digest": session.digest,
        "id": session.id,
        "token": session.token,
        "created_at": micros(session.created_at),
        "expires_at": micros(session.expires_at),
    }
    connection.execute(insert(sessions).values(row))


def end_session(connection: Connection, digest: bytes) -> None:
    """Remove a session."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest))


def create_sign_in_code(connection: Connection, change: CreateSignInCode) -> None:
    """Store a sign-in code."""
    code = change.code
    row = {
        "digest": code.digest,
        "id": code.id,
        "token": code.token,
        "expires_at": micros(code.expires_at),
        "session_expires_at": micros(code.session_expires_at),
    }
    connection.execute(insert(sign_in_codes).values(row))


def use_sign_in_code(connection: Connection, digest: bytes) -> None:
    """Remove a sign-in code. Raises SignInCodeUsed."""
    # Of two nodes that use it, one waits for the other, and then finds nothing to remove.
    if connection.execute(delete(sign_in_codes).where(sign_in_codes.c.digest == digest)).rowcount == 0:
        raise SignInCodeUsed


def forget_sessions(connection: Connection, at: int) -> None:
    """Remove the sessions and the codes that have expired at a time in microseconds."""
    for table in (sessions, sign_in_codes):
        oldest = select(table.c.digest).where(table.c.expires_at <= at).limit(_FORGOTTEN_AT_ONCE)
        connection.execute(delete(table).where(table.c.digest.in_(oldest)))


def entry_row(entry: AuditEntry) -> dict[str, object]:
    """The values of an entry by column, in the order of the columns."""
    return {
        "id": entry.id,
        "at": micros(entry.at),
        "actor": storable(str(entry.actor)),
        "address": entry.actor.address,
        "operation": entry.operation,
        "flow_id": storable(entry.flow_id),
        "flow_version": entry.flow_version,
        "subject": storable(entry.subject),
        "detail": storable(entry.detail),
    }


def record_audit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add audit entries."""
    for some in portions(entries):
        connection.execute(insert(audit), [entry_row(entry) for entry in some])


def forget_audit(connection: Connection, before: int) -> None:
    """Remove the oldest entries from before a time in microseconds."""
    # Ids sort by time, so that the primary key leads to the oldest.
    oldest = select(audit.c.id, audit.c.at).order_by(audit.c.id).limit(_FORGOTTEN_AT_ONCE).subquery("oldest")
    connection.execute(delete(audit).where(audit.c.id.in_(select(oldest.c.id).where(oldest.c.at < before))))


def reject_sign_ins(connection: Connection, sign_ins: Sequence[RejectedSignIn]) -> None:
    """Store rejected sign-ins, and remove all but the newest."""
    if not sign_ins:
        return
    rows = [
        {
            "id": one.id,
            "at": micros(one.at),
            "address": storable(one.address),
            "reason": one.reason,
            "token": storable(one.token),
        }
        for one in sign_ins
    ]
    connection.execute(insert(rejected_sign_ins), rows)
    newest = select(rejected_sign_ins.c.id).order_by(rejected_sign_ins.c.id.desc())
    last: str | None = connection.scalar(newest.offset(MAX_SIGN_INS_KEPT).limit(1))
    if last is not None:
        connection.execute(delete(rejected_sign_ins).where(rejected_sign_ins.c.id <= last))
