"""The statistics: the numbers of each node by the minute, and their sums by the hour."""

from collections import defaultdict
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from hookline.api_storage import HOUR, Counts, FlowMinute, RollUpStatistics, begin_of, total
from hookline_sqlstore.column_values import counts_in, micros, moment
from hookline_sqlstore.dialect import Row, Statement
from hookline_sqlstore.tables import COUNTED

_NUMBERS: Final = ("queue_age", *COUNTED)
_NAMES: Final = ", ".join(_NUMBERS)
_ROWS_AT_ONCE: Final = 500
"""The most rows that one commit removes, since others wait for it."""


def minute_row(node: str, minute: FlowMinute) -> Row:
    """The row of `PUT` for the numbers of a minute."""
    return (minute.flow_id, micros(minute.at), node, *_values(minute.counts))


def _values(counts: Counts) -> Row:
    ended = (counts.succeeded, counts.failed, counts.cancelled)
    return (counts.queue_age // timedelta(microseconds=1), counts.accepted, counts.rejected, *ended, *counts.latency)


PUT: Final = Statement(
    "statistics",
    (("flow_id", "text"), ("at", "bigint"), ("node", "text"), *((name, "bigint") for name in _NUMBERS)),
    f"INSERT INTO statistics_minutes (flow_id, at, node, {_NAMES})"  # noqa: S608 - our own names
    f" SELECT v.flow_id, v.at, v.node, {', '.join(f'v.{name}' for name in _NUMBERS)}"
    " FROM {v} WHERE v.flow_id IS NOT NULL ON CONFLICT (flow_id, at, node) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NUMBERS),
    counted=False,
    repeated=True,
)

_TAKE_MINUTES: Final = text(
    "DELETE FROM statistics_minutes WHERE (flow_id, at, node) IN (SELECT old.flow_id, old.at, old.node"  # noqa: S608 - our own names
    f" FROM statistics_minutes AS old WHERE old.at < :before ORDER BY old.at LIMIT {_ROWS_AT_ONCE})"
    f" RETURNING flow_id, at, {_NAMES}"
)
_ADD_HOUR: Final = text(
    f"INSERT INTO statistics_hours (flow_id, at, {_NAMES}) VALUES"  # noqa: S608 - our own names
    f" (:flow_id, :at, {', '.join(f':{name}' for name in _NUMBERS)}) ON CONFLICT (flow_id, at) DO UPDATE SET"
    " queue_age = CASE WHEN statistics_hours.queue_age > excluded.queue_age"
    " THEN statistics_hours.queue_age ELSE excluded.queue_age END, "
    + ", ".join(f"{name} = statistics_hours.{name} + excluded.{name}" for name in COUNTED)
)
_DROP_HOURS: Final = text(
    "DELETE FROM statistics_hours WHERE (flow_id, at) IN (SELECT old.flow_id, old.at"  # noqa: S608 - our own names
    f" FROM statistics_hours AS old WHERE old.at < :before ORDER BY old.at LIMIT {_ROWS_AT_ONCE})"
)


def _roll_up(connection: Connection, change: RollUpStatistics) -> None:
    hours: defaultdict[tuple[str, int], list[Counts]] = defaultdict(list)
    for flow_id, at, queue_age, *numbers in connection.execute(
        _TAKE_MINUTES, {"before": micros(change.minutes_before)}
    ):
        hours[flow_id, micros(begin_of(moment(at), HOUR))].append(counts_in(queue_age, numbers))
    added = [
        {"flow_id": flow_id, "at": at, **dict(zip(_NUMBERS, _values(total(counts)), strict=True))}
        for (flow_id, at), counts in sorted(hours.items())
    ]
    if added:
        connection.execute(_ADD_HOUR, added)
    connection.execute(_DROP_HOURS, {"before": micros(change.hours_before)})


ROLL_UP: Final = Statement("purge", procedure=_roll_up)
