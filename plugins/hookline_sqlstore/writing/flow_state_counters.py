"""Counters in the stored values of flows: the new value is the result of the step, and other values go with it."""

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, select, text, update

from hookline.api_storage import NotANumber, StateAdded, counted_output, counted_value
from hookline_sqlstore.tables import journal, state


class CountRow(NamedTuple):
    """A step that counts; its entry was written before, without the new value."""

    execution_id: str
    seq: int
    flow_id: str
    key: str
    by: bytes
    at: int
    beside: bytes | None
    """The entry's output before the new value is added."""
    others: tuple[tuple[str, bytes | None], ...]
    """The other values that are stored if this one is a number, by key; None removes a value."""


#: Another node may store the first value under a key at the same time.
_BEGIN: Final = text(
    "INSERT INTO state (flow_id, key, updated_at, value) VALUES (:flow_id, :key, :at, :value) ON CONFLICT DO NOTHING"
)
_STORE: Final = text(
    "INSERT INTO state (flow_id, key, updated_at, value) VALUES (:flow_id, :key, :at, :value)"
    " ON CONFLICT (flow_id, key) DO UPDATE SET updated_at = excluded.updated_at, value = excluded.value"
)


def count(connection: Connection, row: CountRow) -> StateAdded | NotANumber:
    """Increase a value, add it to the step's entry and store the others.

    If the value isn't a number, all values stay and the entry is removed.
    """
    place = _place(row, row.key)
    entry = and_(journal.c.execution_id == row.execution_id, journal.c.seq == row.seq)
    known, begun = _locked(connection, row)
    value = counted_value(known, row.by)
    if value is None:
        connection.execute(delete(journal).where(entry))
        if begun:
            connection.execute(delete(state).where(place))
        return NotANumber()
    for key, made in ((row.key, value), *row.others):
        if made is None:
            connection.execute(delete(state).where(_place(row, key)))
        else:
            connection.execute(_STORE, _values(row, key, made))
    connection.execute(update(journal).where(entry).values(output=counted_output(value, row.beside)))
    return StateAdded(value)


def _locked(connection: Connection, row: CountRow) -> tuple[bytes, bool]:
    """Return the value, which no other node changes now, and whether it was missing and is 0 from now on."""
    sought = select(state.c.value).where(_place(row, row.key)).with_for_update()
    # Each time round, another transaction has stored the value or removed it.
    while (known := connection.scalar(sought)) is None:
        if connection.execute(_BEGIN, _values(row, row.key, b"0")).rowcount:
            return b"0", True
    return known, False


def _place(row: CountRow, key: str) -> ColumnElement[bool]:
    return and_(state.c.flow_id == row.flow_id, state.c.key == key)


def _values(row: CountRow, key: str, value: bytes) -> dict[str, Any]:
    return {"flow_id": row.flow_id, "key": key, "at": row.at, "value": value}
