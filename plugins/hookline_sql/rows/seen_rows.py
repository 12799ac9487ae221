"""The newest rows of a table that are known already: the cursor of `sql.rows`.

The cursor is `{"mark": the greatest value, "from": the smallest value from which all rows are known, "seen": [[value,
id], …]}`. The rows in `seen` are those from `from` on, which are behind the mark by at most the overlap.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Column

from hookline.api import JsonValue, StepError
from hookline_sql.values import Digits, Unfit, for_column, to_json

KNOWN: Final = 20_000
"""The most rows that are known: each is in the cursor."""
_NUMBERS: Final = 1000
_TIME: Final = timedelta(minutes=5)


class Seen:
    """The greatest value so far, and the known rows behind it."""

    def __init__(self, overlap: int | timedelta, mark: Any, start: Any, rows: Sequence[tuple[Any, str]]) -> None:
        self._overlap = overlap
        self._mark = mark
        self._start = start
        self._rows = list(rows)
        self._ids = {id_ for _, id_ in rows}

    @classmethod
    def read(cls, cursor: Any, column: Column[Any], overlap: int | timedelta | None) -> "Seen":
        """Read a cursor. Raises StepError if the column's type has changed, or if the overlap doesn't match it."""
        given = _overlap(column, overlap)
        if cursor is None:
            return cls(given, None, None, ())
        if "ids" in cursor:
            # A cursor of an earlier release, which has only the rows with the greatest value.
            mark = cursor["mark"]
            cursor = {"mark": mark, "from": mark, "seen": [[mark, id_] for id_ in cursor["ids"]]}
        try:
            values = {json: for_column(json, column.type) for json in {row[0] for row in cursor["seen"]}}
            mark, start = (for_column(cursor[name], column.type) for name in ("mark", "from"))
        except Unfit as error:
            raise StepError(
                f"column {column.name!r} ({column.type}) has changed its type: {error}", code="sql.value"
            ) from None
        return cls(given, mark, start, [(values[value], id_) for value, id_ in cursor["seen"]])

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, value: Any, row_id: str) -> None:
        """Note a row as known."""
        self._rows.append((value, row_id))
        self._ids.add(row_id)
        if self._mark is None or value > self._mark:
            self._mark = value

    def below(self, value: Any) -> Any:
        """Return the smallest value that is behind this one by at most the overlap."""
        if isinstance(self._overlap, int):
            return value - self._overlap if self._overlap else value
        try:
            if isinstance(value, datetime):
                return value - self._overlap
            # A date has no time of day.
            return value - self._overlap - timedelta(days=1) if self._overlap else value
        except OverflowError:
            return value

    def lowest(self) -> Any:
        """Return the value from which rows are read; None to read all."""
        if self._mark is None:
            return None
        lowest = self.below(self._mark)
        # Rows further behind may have been known, and aren't any more.
        return lowest if self._start is None else max(lowest, self._start)

    def cursor(self) -> dict[str, JsonValue]:
        """Return the cursor for `read`."""
        if self._mark is None:
            return {"mark": None, "from": None, "seen": []}
        lowest = self.lowest()
        rows = sorted((row for row in self._rows if row[0] >= lowest), key=lambda row: row[0])
        if len(rows) > KNOWN:
            # Either all rows with a value are known, or none of them.
            last = rows[-KNOWN - 1][0]
            above = [row for row in rows if row[0] > last]
            rows = above or [row for row in rows if row[0] == self._mark]
            lowest = rows[0][0]
        seen: list[JsonValue] = [[to_json(value), id_] for value, id_ in rows]
        return {"mark": to_json(self._mark), "from": to_json(lowest), "seen": seen}


def _overlap(column: Column[Any], given: int | timedelta | None) -> int | timedelta:
    try:
        kind = column.type.python_type
    except NotImplementedError:
        kind = object
    if issubclass(kind, date):
        if isinstance(given, int) and given:
            raise StepError(
                f"column {column.name!r} has times, so `overlap` must be a duration, such as 5m", code="sql.overlap"
            )
        return _TIME if given is None else given or timedelta(0)
    if isinstance(column.type, Digits) or issubclass(kind, int | float | Decimal):
        if isinstance(given, timedelta) and given:
            raise StepError(f"column {column.name!r} has numbers, so `overlap` must be a number", code="sql.overlap")
        return _NUMBERS if given is None or isinstance(given, timedelta) else given
    if given:
        raise StepError(
            f"column {column.name!r} ({column.type}) has neither numbers nor times: leave `overlap` out",
            code="sql.overlap",
        )
    return 0
