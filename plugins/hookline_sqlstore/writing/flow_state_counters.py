"""Counters in stored values: the database computes the new value, which is the result of the step."""

from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, insert, select, update

from hookline.api import MAX_DIGITS, decode_json, encode_json, within_bounds
from hookline.api_storage import NotANumber, StateAdded, counted_output
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


def count(connection: Connection, row: CountRow) -> StateAdded | NotANumber:
    """Increase a value and add it to the step's entry; if it isn't a number, keep it and remove the entry."""
    place = and_(state.c.flow_id == row.flow_id, state.c.key == row.key)
    entry = and_(journal.c.execution_id == row.execution_id, journal.c.seq == row.seq)
    known: bytes | None = connection.scalar(select(state.c.value).where(place).with_for_update())
    value = total(known, row.by)
    if value is None:
        connection.execute(delete(journal).where(entry))
        return NotANumber()
    if known is None:
        connection.execute(insert(state).values(flow_id=row.flow_id, key=row.key, updated_at=row.at, value=value))
    else:
        connection.execute(update(state).where(place).values(updated_at=row.at, value=value))
    connection.execute(update(journal).where(entry).values(output=counted_output(value, row.beside)))
    return StateAdded(value)


def total(known: bytes | None, by: bytes) -> bytes | None:
    """Return the JSON of the exact sum; None if it is out of bounds."""
    if known is not None and len(known) > 4 * MAX_DIGITS:
        return None
    numbers = [0 if known is None else decode_json(known, exact=True), decode_json(by, exact=True)]
    if not all(type(number) in (int, Decimal) for number in numbers):
        return None
    with localcontext(Context(prec=4 * MAX_DIGITS)):
        made = numbers[0] + numbers[1]
        return encode_json(made) if within_bounds(Decimal(made)) else None
