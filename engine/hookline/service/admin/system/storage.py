"""The admin API's route about used storage and retention."""

from datetime import datetime, timedelta
from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.maintenance.retention import Retention
from hookline.maintenance.usage import FlowUsage, Usage, measure_usage
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import flag, read_query
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Time
from hookline.storage.store import Store


class FlowStorageView(msgspec.Struct, frozen=True):
    """The storage that a flow uses, and the retention of its executions."""

    flow_id: str
    used: Count
    """Bytes of its rows and files, by estimate."""
    purgeable: Count
    """Bytes of them that the disk budget can free."""
    dead_letters: Count
    """Bytes of them that open dead letters use; they are never purged."""
    full: str | None
    """The reason why the flow accepts no messages, if that is so."""
    age: Count
    """Seconds for which they are kept after they have ended."""
    count: Count | None
    """The number of executions that are kept at most; null if it is not limited."""
    next_at: Time | None
    """The time at which the oldest ended execution is purged; null if none has ended. Purging runs every quarter of an
    hour."""


class StorageView(msgspec.Struct, frozen=True):
    """The used storage, in bytes."""

    database: Count
    """Bytes on disk."""
    reusable: Count | None
    """Bytes of them that new data fills before the database grows; null if the database doesn't tell."""
    files: Count
    executions: Count
    """The number of stored executions."""
    used: Count | None
    """Bytes that the disk budget counts: the rows and files of all flows, by estimate; null if only totals were asked
    for and they aren't measured for a disk budget."""
    budget: Count | None
    """The disk budget; null if there is none."""
    full: str | None
    """The reason why no flow accepts messages, if that is so."""
    flows: list[FlowStorageView]


async def storage_view(engine: Engine, *, totals: bool = False) -> StorageView:
    """The used storage now; `totals` leaves out what has to be measured. Raises StoreError."""
    store, budget = engine.store, engine.disk_budget
    room = await store.disk_usage()
    # A large history isn't measured at each request.
    usage = None if budget is None else budget.usage
    if usage is None and not totals:
        usage = await measure_usage(store, engine.blobs)
    return StorageView(
        database=room.total,
        reusable=room.free,
        files=await engine.blobs.disk_usage(),
        executions=await store.execution_count(),
        used=None if usage is None else usage.total,
        budget=engine.options.disk_budget,
        full=engine.intake.full,
        flows=[] if usage is None or totals else await _flow_views(engine, usage),
    )


async def _flow_views(engine: Engine, usage: Usage) -> list[FlowStorageView]:
    store, now = engine.store, engine.clock.now()
    flows = []
    for flow_id in sorted(usage.flows.keys() | await store.flows_with_history()):
        retention = engine.retention_of(flow_id)
        at = await _next(store, flow_id, retention, now)
        flow = usage.flows.get(flow_id) or FlowUsage()
        flows.append(
            FlowStorageView(
                flow_id=flow_id,
                used=flow.used,
                purgeable=flow.purgeable,
                dead_letters=flow.dead_letters,
                full=engine.intake.full_flows.get(flow_id),
                age=int(retention.age.total_seconds()),
                count=retention.count,
                next_at=None if at is None else rfc3339(at),
            )
        )
    return flows


async def _next(store: Store, flow_id: str, retention: Retention, now: datetime) -> datetime | None:
    if retention.count is not None and await store.first_too_many(flow_id, retention.count) is not None:
        return now
    oldest = await store.purgeable(flow_id, now + timedelta(seconds=1), 1)
    execution = await store.execution(oldest[0]) if oldest else None
    if execution is None or execution.finished_at is None:
        return None
    return max(now, execution.finished_at + retention.age)


_TOTALS: Final = (
    flag("totals", "Leave out the flows, which have to be measured: with many executions, that takes seconds."),
)


def add_storage(api: Blueprint, engine: Engine) -> None:

    @api.get("/storage")
    @operation(StorageView, query=_TOTALS, all_flows=True)
    async def get_storage() -> Response:
        """Get the used storage by flow, and the time at which the oldest execution of each flow is purged."""
        return json_response(await storage_view(engine, totals=read_query(_TOTALS)["totals"]))
