"""The writes of remote administration: deployments, tokens, sessions, the audit, sign-ins, problems of nodes, and the
keys and the token on which the nodes of a database agree.

They are few, so each is a function for one change, and not a statement over the rows of many commits.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, delete, insert, or_, select, text, update

from hookline.api_storage import (
    MAX_SIGN_INS_KEPT,
    AuditEntry,
    CreateSession,
    CreateSignInCode,
    CreateToken,
    DeployedFlow,
    Deployment,
    DeploymentConflict,
    FileKind,
    FlowFile,
    KeysInUse,
    RejectedSignIn,
    ReportProblems,
    RetireKeys,
    RevokeToken,
    SetAdminToken,
    SetCases,
    SignInCodeUsed,
    TokenNameTaken,
    TokenNotFound,
    UseKeys,
    WriteFiles,
)
from hookline_sqlstore.column_values import micros, storable
from hookline_sqlstore.lease import NOW
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

#: The rows of a table that one commit removes at most.
_FORGOTTEN_AT_ONCE = 500
_ROWS_AT_ONCE = 200

T = TypeVar("T")


def deploy(connection: Connection, deployment: Deployment) -> None:
    """Change the served flows and keep the deployment. Raises DeploymentConflict."""
    for flows in _portions(deployment.flows):
        _serve(connection, deployment.id, flows)
    row = {
        "id": deployment.id,
        "at": micros(deployment.at),
        "author": str(deployment.author),
        "address": deployment.author.address,
        "message": storable(deployment.message),
        "rollback_of": deployment.rollback_of,
    }
    connection.execute(insert(deployments).values(row))


def _serve(connection: Connection, deployment_id: str, flows: Sequence[DeployedFlow]) -> None:
    these = served_flows.c.flow_id.in_([flow.flow_id for flow in flows])
    found = connection.execute(select(served_flows.c.flow_id, served_flows.c.version).where(these).with_for_update())
    before: dict[str, str] = {row.flow_id: row.version for row in found}
    for flow in flows:
        now = before.get(flow.flow_id)
        if now != flow.before:
            state = "isn't served" if now is None else f"is served by version {now}"
            raise DeploymentConflict(f"flow {flow.flow_id!r} {state} now")
    connection.execute(delete(served_flows).where(these))
    rows = [{"flow_id": one.flow_id, "deployment_id": deployment_id, "version": one.version} for one in flows]
    if served := [row for row in rows if row["version"] is not None]:
        connection.execute(insert(served_flows), served)
    deployed = [row | {"before": flow.before} for row, flow in zip(rows, flows, strict=True)]
    connection.execute(insert(deployed_flows), deployed)


def _portions(records: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of many records: the rows of all at once would take much memory."""
    for start in range(0, len(records), _ROWS_AT_ONCE):
        yield records[start : start + _ROWS_AT_ONCE]


def write_files(connection: Connection, change: WriteFiles) -> None:
    """Keep texts until they are in the folder."""
    files_written(connection, [(file.flow_id, file.kind) for file in change.files])
    for file in change.files:
        connection.execute(insert(unwritten_files).values(**_file_row(file), at=micros(change.at)))


def _file_row(file: FlowFile) -> dict[str, object]:
    return {"flow_id": file.flow_id, "kind": file.kind, "replaces": file.replaces, "text": file.text}


def files_written(connection: Connection, files: Iterable[tuple[str, FileKind]]) -> None:
    """Forget the texts of these files."""
    for flow_id, kind in files:
        connection.execute(
            delete(unwritten_files).where(unwritten_files.c.flow_id == flow_id, unwritten_files.c.kind == kind)
        )


def set_cases(connection: Connection, change: SetCases) -> None:
    """Keep or remove the test cases of a flow."""
    connection.execute(delete(flow_cases).where(flow_cases.c.flow_id == change.flow_id))
    if change.text is not None:
        row = {"flow_id": change.flow_id, "updated_at": micros(change.at), "text": change.text}
        connection.execute(insert(flow_cases).values(row))


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
    for some in _portions(entries):
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


def report_problems(connection: Connection, report: ReportProblems) -> None:
    """Store the problems of a node, and remove those that it had, and those that were reported long ago."""
    columns = node_problems.c
    connection.execute(
        delete(node_problems).where(or_(columns.node == report.node, columns.at < micros(report.forget_before)))
    )
    rows = [
        {
            "node": report.node,
            "place": place,
            "kind": one.kind,
            "subject": storable(one.subject),
            "detail": storable(one.detail),
            "since": micros(one.since),
            "at": micros(report.at),
        }
        for place, one in enumerate(report.problems)
    ]
    if rows:
        connection.execute(insert(node_problems), rows)


# --- Secrets of all nodes --------------------------------------------------------------------------------------------

# Each change locks the row of the cluster first. A node registers before it notes its keys. So if a node joins while a
# key becomes the first one, whichever comes later sees the other.

_LOCKED: Final = select(cluster.c.first_key).where(cluster.c.id == 1).with_for_update()
_ME: Final = "current_setting('hookline.lease')"
_TELL: Final = text(f"UPDATE nodes SET secret_keys = :keys WHERE lease = {_ME}")  # noqa: S608 - our own names
#: Also those that may accept messages without their lease.
_OTHERS: Final = text(
    f"SELECT name, secret_keys FROM nodes WHERE role <> 'command' AND lease <> {_ME} AND (gone_at IS NULL"  # noqa: S608 - as above
    f" OR (accepts_without_lease > 0 AND until + accepts_without_lease > {NOW}))"
)


def use_keys(connection: Connection, change: UseKeys) -> KeysInUse:
    """Note which keys this node has; return those in use."""
    first: str | None = connection.scalar(_LOCKED)
    now = micros(change.at)
    if first is None:
        first = change.ids[0]
        _add(connection, change.ids, now)
        connection.execute(update(cluster).values(first_key=first))
    rows = connection.execute(select(secret_keys)).all()
    known = sorted(row.id for row in rows)
    missing = tuple(row.id for row in rows if row.retired_at is None and row.id not in change.ids)
    if missing:
        return KeysInUse(first, tuple(known), tuple(sorted(missing)))
    others = _others(connection, change.ids)
    wanted, without = change.ids[0], tuple[str, ...]()
    if wanted != first:
        without = _without(others, wanted, new=wanted not in known)
        if not without:
            first = wanted
            _add(connection, [wanted], now)
            connection.execute(update(cluster).values(first_key=wanted, changes=cluster.c.changes + 1))
            known = sorted({*known, wanted})
    return KeysInUse(first, tuple(known), (), without)


def _others(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    """Note the keys of this node, and return the rows of the others that may encrypt anything."""
    if connection.dialect.name != "postgresql":
        return ()  # one process uses it
    connection.execute(_TELL, {"keys": ",".join(ids)})
    return connection.execute(_OTHERS).all()


def _without(others: Sequence[Any], wanted: str, *, new: bool) -> tuple[str, ...]:
    """Return the names of the nodes because of which a key can't become the first one."""

    def agrees(row: Any) -> bool:
        theirs = [] if row.secret_keys is None else row.secret_keys.split(",")
        return wanted in theirs if new else wanted == theirs[:1]

    return tuple(sorted({row.name for row in others if not agrees(row)}))


def retire_keys(connection: Connection, change: RetireKeys) -> None:
    """Note that only these keys are needed."""
    first: str | None = connection.scalar(_LOCKED)
    others = secret_keys.c.id.not_in(change.keep)
    retired = update(secret_keys).where(others, secret_keys.c.retired_at.is_(None))
    connection.execute(retired.values(retired_at=micros(change.at)))
    if first not in change.keep:
        _add(connection, change.keep, micros(change.at))
        connection.execute(update(cluster).values(first_key=change.keep[0], changes=cluster.c.changes + 1))


def _add(connection: Connection, ids: Collection[str], now: int | None) -> None:
    connection.execute(update(secret_keys).where(secret_keys.c.id.in_(ids)).values(retired_at=None))
    there = set(connection.scalars(select(secret_keys.c.id).where(secret_keys.c.id.in_(ids))))
    if new := [{"id": id, "since": now} for id in dict.fromkeys(ids) if id not in there]:
        connection.execute(insert(secret_keys), new)


def set_admin_token(connection: Connection, change: SetAdminToken) -> None:
    """Keep the hash of the server's own token."""
    replaced = update(cluster).values(admin_token=change.digest)
    connection.execute(replaced.where(cluster.c.admin_token.is_(None)) if change.first else replaced)
