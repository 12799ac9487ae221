"""The sums of the statistics of all nodes."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from hookline.api_storage import Counts, FlowPoint, StatisticsPoint, total
from hookline_sqlstore.column_values import counts_in, micros, moment
from hookline_sqlstore.portions import portions
from hookline_sqlstore.tables import COUNTED

_HOUR_MICROS: Final = 3600 * 1_000_000
_FLOWS_AT_ONCE: Final = 200
"""The most flows in one statement."""


def _sums(table: str, at: str) -> Any:
    # PostgreSQL's sum of bigint is a numeric.
    sums = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in COUNTED)
    return text(
        f"SELECT {at} AS begin_at, max(queue_age) AS queue_age, {sums} FROM {table}"  # noqa: S608 - our own names
        " WHERE flow_id IN :flow_ids AND at >= :since AND at < :until GROUP BY 1"
    ).bindparams(bindparam("flow_ids", expanding=True))


_MINUTES: Final = (_sums("statistics_minutes", "at"),)
_HOURS: Final = (_sums("statistics_minutes", f"at - at % {_HOUR_MICROS}"), _sums("statistics_hours", "at"))


_SHOWN_BY_FLOW: Final = ("accepted", "rejected", "succeeded", "failed")


def _sums_by_flow(table: str, at: str) -> Any:
    sums = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in _SHOWN_BY_FLOW)
    return text(
        f"SELECT flow_id, {at} AS begin_at, {sums} FROM {table}"  # noqa: S608 - our own names
        " WHERE flow_id IN :flow_ids AND at >= :since AND at < :until GROUP BY 1, 2"
    ).bindparams(bindparam("flow_ids", expanding=True))


_MINUTES_BY_FLOW: Final = (_sums_by_flow("statistics_minutes", "at"),)
_HOURS_BY_FLOW: Final = (
    _sums_by_flow("statistics_minutes", f"at - at % {_HOUR_MICROS}"),
    _sums_by_flow("statistics_hours", "at"),
)


def points(
    connection: Connection, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
) -> list[StatisticsPoint]:
    found: defaultdict[int, list[Counts]] = defaultdict(list)
    for asked in portions(sorted(flow_ids), _FLOWS_AT_ONCE):
        for statement in _HOURS if hourly else _MINUTES:
            values = {"flow_ids": asked, "since": micros(since), "until": micros(until)}
            for at, queue_age, *numbers in connection.execute(statement, values).all():
                found[at].append(counts_in(queue_age, numbers))
    return [StatisticsPoint(moment(at), total(counts)) for at, counts in sorted(found.items())]


def flow_points(
    connection: Connection, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
) -> list[FlowPoint]:
    found: defaultdict[tuple[str, int], list[Sequence[int]]] = defaultdict(list)
    for asked in portions(sorted(flow_ids), _FLOWS_AT_ONCE):
        for statement in _HOURS_BY_FLOW if hourly else _MINUTES_BY_FLOW:
            values = {"flow_ids": asked, "since": micros(since), "until": micros(until)}
            for flow_id, at, *numbers in connection.execute(statement, values):
                found[flow_id, at].append(numbers)
    # An hour may be partly kept by the minute.
    return [
        FlowPoint(flow_id, moment(at), *map(sum, zip(*numbers, strict=True)))
        for (flow_id, at), numbers in sorted(found.items())
    ]


_OLD: Final = text(
    "SELECT EXISTS (SELECT 1 FROM statistics_minutes WHERE at < :minutes_before)"
    " OR EXISTS (SELECT 1 FROM statistics_hours WHERE at < :hours_before)"
)


def has_old(connection: Connection, minutes_before: datetime, hours_before: datetime) -> bool:
    given = {"minutes_before": micros(minutes_before), "hours_before": micros(hours_before)}
    return bool(connection.scalar(_OLD, given))
