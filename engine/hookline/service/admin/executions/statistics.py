"""The admin API's routes about statistics."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any, Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import Malformed
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import FLOW_SCHEMA, Parameter, Query, choice, read_query, require_flow, time
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Time, one_of
from hookline.storage.statistics import (
    ALL_FLOWS,
    BUCKETS,
    HOUR,
    HOURS_KEPT,
    LATENCY_BOUNDS,
    MINUTE,
    MINUTES_KEPT,
    FlowPoint,
    StatisticsPoint,
    begin_of,
)


class Step(StrEnum):
    """The time between two items."""

    MINUTE = "1m"
    HOUR = "1h"


_STEPS: Final = {Step.MINUTE: (MINUTE, MINUTES_KEPT), Step.HOUR: (HOUR, HOURS_KEPT)}
"""The length of each step, and the time for which its items are kept."""
_BY_MINUTE: Final = timedelta(hours=6)
"""The longest time that is shown by the minute, if the request doesn't name the step."""
_ITEMS: Final = 60
"""The number of steps that are shown if the request doesn't say since when."""


_MOST_STEPS: Final = 100
"""The most steps for each flow."""


class StatisticsItem(msgspec.Struct, frozen=True):
    """The numbers of a minute or an hour."""

    at: Time
    """Its beginning."""
    accepted: Count
    rejected: Count
    succeeded: Count
    failed: Count
    cancelled: Count
    queue_age: Annotated[float, msgspec.Meta(ge=0)]
    """The largest age of the oldest queued execution, in seconds."""
    latency: Annotated[list[Count], msgspec.Meta(min_length=BUCKETS, max_length=BUCKETS)]
    """The numbers of ended executions by the time from their acceptance to their end: for each of `bounds`, those that
    took at most so long and longer than the bound before; then those that took longer."""


class StatisticsView(msgspec.Struct, frozen=True):
    """Numbers over time, of one flow or of all."""

    step: Annotated[str, one_of("1m", "1h")]
    since: Time
    """The beginning of the first minute or hour; later than asked for if earlier ones aren't kept."""
    until: Time
    bounds: Annotated[list[float], msgspec.Meta(min_length=BUCKETS - 1, max_length=BUCKETS - 1)]
    """The upper bounds of the buckets of latency, in seconds."""
    items: list[StatisticsItem]
    """Minutes and hours without anything are left out."""


class FlowStatistics(msgspec.Struct, frozen=True):
    """The numbers of a flow over time: each list has one for each minute or hour from `since` on."""

    flow_id: str
    accepted: list[Count]
    rejected: list[Count]
    succeeded: list[Count]
    failed: list[Count]


class StatisticsByFlowView(msgspec.Struct, frozen=True):
    """Numbers over time, by flow."""

    step: Annotated[str, one_of("1m", "1h")]
    since: Time
    """The beginning of the first minute or hour; later than asked for if earlier ones aren't kept, or are too many."""
    until: Time
    items: list[FlowStatistics]
    """Flows without anything are left out."""


def _by_flow(points: Iterable[FlowPoint], since: datetime, length: timedelta, steps: int) -> Iterator[FlowStatistics]:
    for flow_id, found in groupby(points, key=lambda point: point.flow_id):
        numbers = FlowStatistics(flow_id, *([0] * steps for _ in range(4)))
        for point in found:
            place = (point.at - since) // length
            numbers.accepted[place] = point.accepted
            numbers.rejected[place] = point.rejected
            numbers.succeeded[place] = point.succeeded
            numbers.failed[place] = point.failed
        yield numbers


def statistics_item(point: StatisticsPoint) -> StatisticsItem:
    counts = point.counts
    return StatisticsItem(
        at=rfc3339(point.at),
        accepted=counts.accepted,
        rejected=counts.rejected,
        succeeded=counts.succeeded,
        failed=counts.failed,
        cancelled=counts.cancelled,
        queue_age=counts.queue_age.total_seconds(),
        latency=list(counts.latency),
    )


_RANGE: Final[Query] = (
    time("since", "From this time on; if it is left out, the last 60 steps."),
    time("until", "Before this time; now if it is left out."),
    choice(
        "step",
        "By the minute, for the last 48 hours, or by the hour, for 400 days; if it is left out, it depends on the "
        "times.",
        Step,
    ),
)
_ALL: Final[Query] = (Parameter("flow_id", "Only those of this flow.", FLOW_SCHEMA), *_RANGE)


def add_statistics(api: Blueprint, engine: Engine) -> None:

    @api.get("/stats")
    @operation(StatisticsView, query=_ALL)
    async def get_statistics() -> Response:
        """Get the numbers of messages and executions over time, of all flows that the token sees or of one."""
        given = read_query(_ALL)
        flow_id, by = given["flow_id"], caller()
        await require_flow(engine, flow_id)
        visible = [ALL_FLOWS] if by.flows is None else by.flows
        return await answer(visible if flow_id is None else [flow_id], given)

    @api.get("/flows/<flow_id>/stats")
    @operation(StatisticsView, query=_RANGE)
    async def get_flow_statistics(flow_id: str) -> Response:
        """Get the numbers of a flow's messages and executions over time."""
        given = read_query(_RANGE)
        await require_flow(engine, flow_id)
        return await answer([flow_id], given)

    @api.get("/stats/flows")
    @operation(StatisticsByFlowView, query=_RANGE)
    async def get_statistics_by_flow() -> Response:
        """Get the numbers of messages and executions over time, for each flow; at most 100 minutes or hours."""
        step, since, until = _range(engine.clock.now(), **read_query(_RANGE))
        length, _ = _STEPS[step]
        since = max(since, begin_of(until - (_MOST_STEPS - 1) * length, length))
        steps = -((since - until) // length)
        visible = caller().visible(engine.catalog.entries)
        points = await engine.store.statistics_by_flow(visible, since, until, hourly=step is Step.HOUR)
        items = list(_by_flow(points, since, length, steps))
        return json_response(StatisticsByFlowView(step, rfc3339(since), rfc3339(until), items))

    async def answer(flow_ids: Collection[str], given: Mapping[str, Any]) -> Response:
        step, since, until = _range(engine.clock.now(), **given)
        points = await engine.store.statistics(flow_ids, since, until, hourly=step is Step.HOUR)
        items = [statistics_item(point) for point in points]
        return json_response(StatisticsView(step, rfc3339(since), rfc3339(until), list(LATENCY_BOUNDS), items))


def _range(
    now: datetime, *, since: datetime | None, until: datetime | None, step: Step | None, **_: object
) -> tuple[Step, datetime, datetime]:
    """The step and the times that a request means. Raises Malformed."""
    if until is None:
        until = now
    if since is not None and since >= until:
        raise Malformed(f"since is {rfc3339(since)}, which isn't before {rfc3339(until)}.")
    if step is None:
        first = until if since is None else since
        step = Step.MINUTE if first >= now - MINUTES_KEPT and until - first <= _BY_MINUTE else Step.HOUR
    length, kept = _STEPS[step]
    until = max(until, now - kept)
    since = max(until - _ITEMS * length if since is None else since, now - kept)
    return step, begin_of(since, length), until
