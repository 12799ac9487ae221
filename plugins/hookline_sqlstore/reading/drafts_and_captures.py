"""Drafts of flows, and captures."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, exists, func, or_, select

from hookline.api_storage import (
    Actor,
    Capture,
    CapturedInfo,
    CapturedPage,
    CapturedRequest,
    Draft,
    DraftInfo,
    DraftPage,
)
from hookline_sqlstore import paging
from hookline_sqlstore.column_values import micros, moment
from hookline_sqlstore.tables import captured_requests, captures, drafts


def draft_page(connection: Connection, flows: Collection[str] | None, cursor: str | None, limit: int) -> DraftPage:
    """Return a page, in the order of the flows."""
    columns = [column for column in drafts.columns if column is not drafts.c.text]
    asked = select(*columns).order_by(drafts.c.flow_id).limit(limit + 1)
    if cursor is not None:
        asked = asked.where(drafts.c.flow_id > cursor.replace("\0", ""))
    if flows is not None:
        asked = asked.where(drafts.c.flow_id.in_(flows))
    found = [_info(row) for row in connection.execute(asked)]
    return DraftPage(tuple(found[:limit]), found[limit - 1].flow_id if len(found) > limit else None)


def draft_of(connection: Connection, flow_id: str) -> Draft | None:
    row = connection.execute(select(drafts).where(drafts.c.flow_id == flow_id)).first()
    return None if row is None else Draft(_info(row), row.text)


def _info(row: Any) -> DraftInfo:
    author = Actor.from_text(row.author, row.address)
    return DraftInfo(row.flow_id, row.version, row.base, row.size, moment(row.updated_at), author)


def all_captures(connection: Connection, since: datetime) -> list[Capture]:
    kept = captured_requests.c
    counted = select(kept.flow_id, func.count().label("amount")).where(kept.at >= micros(since))
    requests = {row.flow_id: row.amount for row in connection.execute(counted.group_by(kept.flow_id))}
    return [
        Capture(
            row.flow_id,
            moment(row.opened_at),
            moment(row.expires_at),
            Actor.from_text(row.actor, row.address),
            requests.get(row.flow_id, 0),
        )
        for row in connection.execute(select(captures).order_by(captures.c.flow_id))
    ]


def captured_page(
    connection: Connection, flow_id: str, since: datetime, cursor: str | None, limit: int
) -> CapturedPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    kept = captured_requests.c
    asked = select(kept.info).where(kept.flow_id == flow_id, kept.at >= micros(since)).order_by(kept.id.desc())
    if cursor is not None:
        asked = asked.where(kept.id < paging.id_of(cursor))
    found = [msgspec.json.decode(info, type=CapturedInfo) for info in connection.scalars(asked.limit(limit + 1))]
    return CapturedPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


def captured_request(connection: Connection, flow_id: str, request_id: str) -> CapturedRequest | None:
    kept = captured_requests.c
    row = connection.execute(select(captured_requests).where(kept.flow_id == flow_id, kept.id == request_id)).first()
    if row is None:
        return None
    headers = msgspec.json.decode(row.headers, type=tuple[tuple[str, str], ...])
    info = msgspec.json.decode(row.info, type=CapturedInfo)
    return CapturedRequest(info, headers, row.query.decode(), row.body, row.left_out)


def has_old_captures(connection: Connection, before: datetime) -> bool:
    old = (captured_requests.c.at < micros(before), captures.c.expires_at < micros(before))
    return bool(connection.scalar(select(or_(*(exists().where(condition) for condition in old)))))
