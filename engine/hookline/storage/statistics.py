"""Statistics: the numbers of a flow in one minute or hour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final

ALL_FLOWS: Final = "*"
"""The id under which each node also counts all flows together. No flow has it."""
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
MINUTES_KEPT: Final = timedelta(hours=48)
"""The time for which statistics are kept by the minute; older ones are kept by the hour."""
HOURS_KEPT: Final = timedelta(days=400)
"""The time for which statistics are kept at all."""
LATENCY_BOUNDS: Final = tuple(digit * 10**power / 1000 for power in range(8) for digit in (1, 2, 5))
"""The upper bounds of the buckets of latency in seconds, from 1 ms to 50,000 s. The last bucket has no bound."""
BUCKETS: Final = len(LATENCY_BOUNDS) + 1


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of a flow, or of several, in a minute or an hour."""

    accepted: int = 0
    rejected: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    queue_age: timedelta = timedelta(0)
    """The largest age of the oldest queued execution."""
    latency: tuple[int, ...] = (0,) * BUCKETS
    """The numbers of ended executions by the time from their acceptance to their end, by bucket."""


_ADDED: Final = tuple(one.name for one in fields(Counts) if one.name not in {"queue_age", "latency"})


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts; its age is the largest one."""
    listed: Sequence[Counts] = tuple(counts)
    if len(listed) == 1:
        return listed[0]
    return Counts(
        **{name: sum(getattr(one, name) for one in listed) for name in _ADDED},
        queue_age=max((one.queue_age for one in listed), default=timedelta(0)),
        latency=tuple(map(sum, zip(*(one.latency for one in listed), strict=True))) or Counts().latency,
    )


@dataclass(frozen=True, slots=True)
class FlowMinute:
    """The numbers of a flow in the minute that begins at a time."""

    flow_id: str
    at: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class FlowPoint:
    """The numbers of messages and executions of a flow, summed over nodes, in the minute or hour from a time on."""

    flow_id: str
    at: datetime
    accepted: int
    rejected: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class StatisticsPoint:
    """The sum of flows and nodes in the minute or the hour that begins at a time."""

    at: datetime
    counts: Counts


def begin_of(at: datetime, step: timedelta) -> datetime:
    """The beginning of the minute or the hour of a time in UTC."""
    return at - (at - datetime.min.replace(tzinfo=at.tzinfo)) % step
