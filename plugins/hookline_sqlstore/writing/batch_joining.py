"""Batches: at a batch step, an execution joins the open batch or leads a new one."""

from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from hookline.api import encode_json
from hookline.api_storage import (
    JOINED,
    MAX_BATCH_BYTES,
    Attachment,
    BatchItem,
    BatchJoined,
    BatchLed,
    BatchPlace,
    StepState,
    joined_output,
)
from hookline_sqlstore.tables import LIVE, batch_members, batches, blob_refs, executions, journal

_OPEN: Final = (
    select(batches)
    .where(
        batches.c.flow_id == bindparam("flow_id"),
        batches.c.flow_version == bindparam("flow_version"),
        batches.c.path == bindparam("path"),
        batches.c.key_hash == bindparam("key_hash"),
    )
    .with_for_update()
)
_attachments: Final = msgspec.json.Decoder(tuple[Attachment, ...])


#: The number of searches for the open batch, if each time another process has just begun one.
_TRIES: Final = 20


class JoinRow(NamedTuple):
    """An execution at a batch step; the entry of a leader was written before."""

    seq: int
    path: str
    flow_id: str
    flow_version: str
    key_hash: bytes
    most: int
    gathered: BatchItem
    due_at: int | None
    at: int


def join(connection: Connection, row: JoinRow) -> BatchLed | BatchJoined:
    """Add an execution to the open batch, or begin one, and correct its entry."""
    for _ in range(_TRIES):
        # An execution that comes at the same time, from another process too, waits here, and then sees the result.
        found = connection.execute(_OPEN, _sought(row)).one_or_none()
        try:
            if found is None:
                return _lead(connection, row, closed=None)
            over = found.due_at is not None and found.due_at <= row.at
            if over or found.size + row.gathered.size > MAX_BATCH_BYTES:
                _close(connection, found, row.at)
                return _lead(connection, row, closed=found.execution_id)
            return _join(connection, row, found)
        except IntegrityError as error:
            # While this one waited, that which it waited for was closed, and another process began the next.
            clash = error
    raise clash


def items_of(connection: Connection, execution_id: str, path: str) -> list[BatchItem]:
    """Return the items of a batch, in order."""
    rows = connection.execute(
        select(batch_members.c.member_id, batch_members.c.body, batch_members.c.attachments)
        .where(batch_members.c.execution_id == execution_id, batch_members.c.path == path)
        .order_by(batch_members.c.place)
    )
    return [
        BatchItem(row.member_id, row.body, () if row.attachments is None else _attachments.decode(row.attachments))
        for row in rows
    ]


def bodies_after(connection: Connection, after: BatchPlace | None, limit: int) -> list[tuple[BatchPlace, bytes]]:
    """Return the bodies of the items of all batches, in the order of their places."""
    place = (batch_members.c.execution_id, batch_members.c.path, batch_members.c.place)
    chosen = select(*place, batch_members.c.body).order_by(*place).limit(limit)
    if after is not None:
        chosen = chosen.where(tuple_(*place) > tuple_(*after))
    return [(BatchPlace(*at), body) for *at, body in connection.execute(chosen)]


def batches_of(connection: Connection, execution_id: str) -> dict[str, bool]:
    """Return the batches that an execution leads by the paths of their steps; true if open."""
    rows = connection.execute(select(batches.c.path, batches.c.key_hash).where(batches.c.execution_id == execution_id))
    return {row.path: row.key_hash is not None for row in rows}


def _sought(row: JoinRow) -> dict[str, Any]:
    return {"flow_id": row.flow_id, "flow_version": row.flow_version, "path": row.path, "key_hash": row.key_hash}


def _lead(connection: Connection, row: JoinRow, *, closed: str | None) -> BatchLed:
    begun = insert(batches).values(
        execution_id=row.gathered.execution_id,
        path=row.path,
        flow_id=row.flow_id,
        flow_version=row.flow_version,
        key_hash=row.key_hash,
        members=1,
        size=row.gathered.size,
        due_at=row.due_at,
    )
    with connection.begin_nested():
        connection.execute(begun)
    _add(connection, row, row.gathered.execution_id, 1)
    return BatchLed(closed)


def _join(connection: Connection, row: JoinRow, found: Row[Any]) -> BatchJoined:
    leader_id, place = found.execution_id, found.members + 1
    _add(connection, row, leader_id, place)
    grown = update(batches).where(_is(found)).values(members=place, size=found.size + row.gathered.size)
    connection.execute(grown)
    if full := place >= row.most:
        _close(connection, found, row.at)
    entry = and_(journal.c.execution_id == row.gathered.execution_id, journal.c.seq == row.seq)
    connection.execute(
        update(journal)
        .where(entry)
        .values(state=StepState.SUCCEEDED.value, signal=JOINED, due_at=None, output=joined_output(leader_id, place))
    )
    return BatchJoined(leader_id, place, full)


def _add(connection: Connection, row: JoinRow, leader_id: str, place: int) -> None:
    attachments = row.gathered.attachments
    connection.execute(
        insert(batch_members).values(
            execution_id=leader_id,
            path=row.path,
            place=place,
            member_id=row.gathered.execution_id,
            attachments=encode_json(attachments) if attachments else None,
            body=row.gathered.body,
        )
    )
    # The leader needs the files, however soon those of the execution that brought them are given up.
    wanted = {attachment.id for attachment in attachments}
    if wanted:
        mine = select(blob_refs.c.blob_id).where(
            blob_refs.c.execution_id == leader_id, blob_refs.c.blob_id.in_(sorted(wanted))
        )
        missing = sorted(wanted.difference(connection.scalars(mine)))
        if missing:
            connection.execute(insert(blob_refs), [{"blob_id": one, "execution_id": leader_id} for one in missing])


def _close(connection: Connection, found: Row[Any], at: int) -> None:
    connection.execute(update(batches).where(_is(found)).values(key_hash=None))
    # Locked: if another node parks it now, the statement below sees it parked.
    leader = select(executions.c.id).where(executions.c.id == found.execution_id, LIVE)
    connection.execute(leader.with_for_update(key_share=True))
    waits = and_(executions.c.id == found.execution_id, executions.c.state == "waiting", LIVE)
    connection.execute(update(executions).where(waits).values(ready_at=at))


def _is(found: Row[Any]) -> Any:
    return and_(batches.c.execution_id == found.execution_id, batches.c.path == found.path)
