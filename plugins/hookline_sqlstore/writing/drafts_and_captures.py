"""The writes of authors: drafts of flows, and captures. They are few, so each is a function for one change."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, TextClause, delete, func, select, text, update

from hookline.api_storage import (
    MAX_CAPTURED,
    MAX_CAPTURES,
    MAX_DRAFTS,
    CloseCapture,
    DraftConflict,
    DropDraft,
    KeepCaptured,
    OpenCapture,
    PutDraft,
    TooManyCaptures,
    TooManyDrafts,
)
from hookline_sqlstore.column_values import micros, storable
from hookline_sqlstore.tables import captured_requests, captures, drafts

#: The rows of a table that one commit removes at most.
_FORGOTTEN_AT_ONCE = 500


def put_draft(connection: Connection, change: PutDraft) -> None:
    """Keep a draft. Raises DraftConflict and TooManyDrafts."""
    info = change.draft.info
    row: dict[str, object] = {
        "flow_id": info.flow_id,
        "version": info.version,
        "base": storable(info.base),
        "updated_at": micros(info.updated_at),
        "author": storable(str(info.author)),
        "address": info.author.address,
        "size": info.size,
        "text": change.draft.text,
    }
    if change.replaces is None:
        written = _begin(connection, row)
    else:
        this = (drafts.c.flow_id == info.flow_id) & (drafts.c.version == change.replaces)
        written = connection.execute(update(drafts).where(this).values(row)).rowcount
    if not written:
        raise DraftConflict(f"the draft of flow {info.flow_id!r} isn't the expected one: read it again")


def _begin(connection: Connection, row: dict[str, object]) -> int:
    if (connection.scalar(select(func.count()).select_from(drafts)) or 0) >= MAX_DRAFTS:
        raise TooManyDrafts(f"there are {MAX_DRAFTS} drafts already: delete one")
    return connection.execute(_insert_new("drafts", row), row).rowcount


def _insert_new(table: str, row: Mapping[str, object]) -> TextClause:
    """Insert a row, unless it is there: another node may insert it at the same time."""
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    return text(f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING")  # noqa: S608 - our own names


def drop_draft(connection: Connection, change: DropDraft) -> None:
    """Remove a draft. Raises DraftConflict."""
    this = (drafts.c.flow_id == change.flow_id) & (drafts.c.version == change.version)
    if connection.execute(delete(drafts).where(this)).rowcount == 0:
        raise DraftConflict(f"the draft of flow {change.flow_id!r} isn't the expected one: read it again")


def open_capture(connection: Connection, change: OpenCapture) -> None:
    """Open a capture, or keep one that is open for longer. Raises TooManyCaptures."""
    capture = change.capture
    row: dict[str, object] = {
        "flow_id": capture.flow_id,
        "opened_at": micros(capture.opened_at),
        "expires_at": micros(capture.expires_at),
        "actor": storable(str(capture.by)),
        "address": capture.by.address,
    }
    this = update(captures).where(captures.c.flow_id == capture.flow_id)
    longer = this.where(captures.c.expires_at > row["opened_at"]).values(expires_at=row["expires_at"])
    if connection.execute(longer).rowcount or connection.execute(this.values(row)).rowcount:
        return
    if (connection.scalar(select(func.count()).select_from(captures)) or 0) >= MAX_CAPTURES:
        raise TooManyCaptures(f"there are {MAX_CAPTURES} captures: delete one")
    connection.execute(_insert_new("captures", row), row)


def close_capture(connection: Connection, change: CloseCapture) -> None:
    """Close a capture."""
    at = micros(change.at)
    this = update(captures).where(captures.c.flow_id == change.flow_id, captures.c.expires_at > at)
    connection.execute(this.values(expires_at=at))


def drop_capture(connection: Connection, flow_id: str) -> None:
    """Remove a capture and its requests."""
    connection.execute(delete(captures).where(captures.c.flow_id == flow_id))
    connection.execute(delete(captured_requests).where(captured_requests.c.flow_id == flow_id))


def keep_captured(connection: Connection, change: KeepCaptured) -> None:
    """Keep requests of captures that still exist, and remove all but the newest of each."""
    named = {request.info.flow_id for request in change.requests}
    known = set(connection.scalars(select(captures.c.flow_id).where(captures.c.flow_id.in_(named))))
    rows: list[dict[str, object]] = [
        {
            "flow_id": request.info.flow_id,
            "id": request.info.id,
            "at": micros(request.info.at),
            "info": msgspec.json.encode(request.info),
            "headers": msgspec.json.encode(request.headers),
            "query": request.query.encode(),
            "body": request.body,
            "left_out": request.left_out,
        }
        for request in change.requests
        if request.info.flow_id in known
    ]
    if rows:
        # A commit that was in doubt is repeated.
        connection.execute(_insert_new("captured_requests", rows[0]), rows)
    for flow_id in sorted(known):
        this = captured_requests.c.flow_id == flow_id
        newest = select(captured_requests.c.id).where(this).order_by(captured_requests.c.id.desc())
        last: str | None = connection.scalar(newest.offset(MAX_CAPTURED).limit(1))
        if last is not None:
            connection.execute(delete(captured_requests).where(this, captured_requests.c.id <= last))


def forget_captured(connection: Connection, before: int) -> None:
    """Remove requests from before a time in microseconds, and captures that were closed before it."""
    flow_id, id_ = captured_requests.c.flow_id, captured_requests.c.id
    old = select(flow_id, id_).where(captured_requests.c.at < before).limit(_FORGOTTEN_AT_ONCE)
    for row in connection.execute(old).all():
        connection.execute(delete(captured_requests).where(flow_id == row.flow_id, id_ == row.id))
    connection.execute(delete(captures).where(captures.c.expires_at < before))
