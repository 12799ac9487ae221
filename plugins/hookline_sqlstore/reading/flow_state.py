"""The values that flows keep, and the cursors of their polls."""

from sqlalchemy import Connection, select

from hookline.api_storage import (
    StateEntry,
    StatePage,
)
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.tables import cursors
from hookline_sqlstore.tables import state as state_


def state_of(connection: Connection, flow_id: str, key: str) -> bytes | None:
    value: bytes | None = connection.scalar(
        select(state_.c.value).where(state_.c.flow_id == flow_id, state_.c.key == key)
    )
    return value


def state_entries(connection: Connection, flow_id: str, cursor: str | None, limit: int) -> StatePage:
    """Return a page, in the order of the keys. Raises ValueError for an invalid cursor."""
    asked = select(state_).where(state_.c.flow_id == flow_id).order_by(state_.c.key).limit(limit + 1)
    if cursor is not None:
        if "\0" in cursor:
            raise ValueError("it is no key")
        asked = asked.where(state_.c.key > cursor)
    found = [StateEntry(row.key, moment(row.updated_at), row.value) for row in connection.execute(asked)]
    return StatePage(tuple(found[:limit]), found[limit - 1].key if len(found) > limit else None)


def cursor_of(connection: Connection, flow_id: str) -> bytes | None:
    value: bytes | None = connection.scalar(select(cursors.c.value).where(cursors.c.flow_id == flow_id))
    return value
