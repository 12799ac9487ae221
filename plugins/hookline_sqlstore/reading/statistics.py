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


_BY_MINUTE: Final = (("statistics_minutes", "at"),)
_BY_HOUR: Final = (("statistics_minutes", f"at - at % {_HOUR_MICROS}"), ("statistics_hours", "at"))
"""Tables, and the times to which their rows belong."""


def _query(parts: Sequence[tuple[str, str]], select: str, group: str) -> Any:
    """Return the sums of some tables in one statement, since between two, rows may be moved from one to another."""
    found = (
        f"SELECT {select.replace('{at}', at)} FROM {table}"  # noqa: S608 - our own names
        f" WHERE flow_id IN :flow_ids AND at >= :since AND at < :until GROUP BY {group}"
        for table, at in parts
    )
    return text(" UNION ALL ".join(found)).bindparams(bindparam("flow_ids", expanding=True))


def _sums(names: Sequence[str]) -> str:
    # PostgreSQL's sum of bigint is a numeric.
    return ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in names)


_SUMS: Final = f"{{at}} AS begin_at, max(queue_age) AS queue_age, {_sums(COUNTED)}"
_MINUTES: Final = _query(_BY_MINUTE, _SUMS, "1")
_HOURS: Final = _query(_BY_HOUR, _SUMS, "1")

_SUMS_BY_FLOW: Final = f"flow_id, {{at}} AS begin_at, {_sums(('accepted', 'rejected', 'succeeded', 'failed'))}"
_MINUTES_BY_FLOW: Final = _query(_BY_MINUTE, _SUMS_BY_FLOW, "1, 2")
_HOURS_BY_FLOW: Final = _query(_BY_HOUR, _SUMS_BY_FLOW, "1, 2")


def points(
    connection: Connection, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
) -> list[StatisticsPoint]:
    found: defaultdict[int, list[Counts]] = defaultdict(list)
    for asked in portions(sorted(flow_ids), _FLOWS_AT_ONCE):
        values = {"flow_ids": asked, "since": micros(since), "until": micros(until)}
        for at, queue_age, *numbers in connection.execute(_HOURS if hourly else _MINUTES, values):
            found[at].append(counts_in(queue_age, numbers))
    return [StatisticsPoint(moment(at), total(counts)) for at, counts in sorted(found.items())]


def flow_points(
    connection: Connection, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
) -> list[FlowPoint]:
    found: defaultdict[tuple[str, int], list[Sequence[int]]] = defaultdict(list)
    for asked in portions(sorted(flow_ids), _FLOWS_AT_ONCE):
        values = {"flow_ids": asked, "since": micros(since), "until": micros(until)}
        for flow_id, at, *numbers in connection.execute(_HOURS_BY_FLOW if hourly else _MINUTES_BY_FLOW, values):
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
