"""Stored rejected requests."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from hookline.api_storage import (
    RejectedPage,
    RejectedRequest,
    RejectionReason,
    Rejections,
)
from hookline_sqlstore import paging
from hookline_sqlstore.column_values import first_id, moment
from hookline_sqlstore.tables import rejected


def rejected_page(
    connection: Connection, flow_id: str | None, code: str | None, cursor: str | None, limit: int
) -> RejectedPage:
    """Return a page, newest first. Raises ValueError for an invalid cursor."""
    asked = select(rejected).order_by(rejected.c.id.desc()).limit(limit + 1)
    if flow_id is not None:
        asked = asked.where(rejected.c.flow_id == flow_id)
    if code is not None:
        asked = asked.where(rejected.c.code == code)
    if cursor is not None:
        asked = asked.where(rejected.c.id < paging.id_of(cursor))
    found = [RejectedRequest(**{**row._mapping, "at": moment(row.at)}) for row in connection.execute(asked)]
    return RejectedPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


def rejection_reasons(connection: Connection) -> list[RejectionReason]:
    reason = (rejected.c.flow_id, rejected.c.code)
    groups = select(*reason, func.count().label("amount"), func.max(rejected.c.at).label("newest_at")).group_by(*reason)
    return [
        RejectionReason(row.flow_id, row.code, row.amount, moment(row.newest_at))
        for row in connection.execute(groups.order_by(*reason))
    ]


def rejected_since(connection: Connection, since: datetime) -> dict[str, Rejections]:
    # The rows of all flows are few, and the newest of them are found by the key.
    groups = (
        select(rejected.c.flow_id, func.count().label("amount"), func.min(rejected.c.at).label("first_at"))
        .add_columns(func.max(rejected.c.id).label("newest"))
        .where(rejected.c.id >= first_id(since))
        .group_by(rejected.c.flow_id)
    )
    found = connection.execute(groups).all()
    newest = connection.execute(select(rejected).where(rejected.c.id.in_([row.newest for row in found])))
    known = {row.flow_id: RejectedRequest(**{**row._mapping, "at": moment(row.at)}) for row in newest}
    return {
        row.flow_id: Rejections(row.amount, moment(row.first_at), known[row.flow_id])
        for row in found
        if row.flow_id in known
    }
