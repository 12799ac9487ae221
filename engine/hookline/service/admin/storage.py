"""The admin API's route about used storage and retention."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.time import rfc3339
from hookline.maintenance.retention import Retention
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import json_response
from hookline.service.views.pages import Time
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store


class FlowRetentionView(msgspec.Struct, frozen=True):
    """The retention of a flow's executions."""

    flow_id: str
    age: int
    """Seconds for which they are kept after they have ended."""
    count: int | None
    """The number of executions that are kept at most; null if it is not limited."""
    next_at: Time | None
    """The time at which the oldest ended execution is purged; null if none has ended. Purging runs every quarter of an
    hour."""


class StorageView(msgspec.Struct, frozen=True):
    """The used storage, in bytes."""

    database: int
    """Bytes on disk."""
    reusable: int | None
    """Bytes of them that new data fills before the database grows; null if the database doesn't tell."""
    files: int
    executions: int
    """The approximate number of stored executions."""
    budget: int | None
    """The disk budget; null if there is none."""
    full: str | None
    """The reason why no messages are accepted, if that is so."""
    flows: list[FlowRetentionView]


async def storage_view(
    store: Store,
    blobs: Blobs,
    retention_of: Callable[[str], Retention],
    now: datetime,
    *,
    budget: int | None,
    full: str | None,
) -> StorageView:
    """The used storage now. Raises StoreError."""
    room = await store.disk_usage()
    flows = []
    for flow_id in sorted(await store.flows_with_history()):
        retention = retention_of(flow_id)
        at = await _next(store, flow_id, retention, now)
        shown = None if at is None else rfc3339(at)
        flows.append(FlowRetentionView(flow_id, int(retention.age.total_seconds()), retention.count, shown))
    return StorageView(room.total, room.free, await blobs.disk_usage(), room.executions, budget, full, flows)


async def _next(store: Store, flow_id: str, retention: Retention, now: datetime) -> datetime | None:
    if retention.count is not None and await store.first_too_many(flow_id, retention.count) is not None:
        return now
    oldest = await store.purgeable(flow_id, now + timedelta(seconds=1), 1)
    execution = await store.execution(oldest[0]) if oldest else None
    if execution is None or execution.finished_at is None:
        return None
    return max(now, execution.finished_at + retention.age)


def add_storage(api: Blueprint, engine: Engine) -> None:

    @api.get("/storage")
    @operation(StorageView)
    async def get_storage() -> Response:
        """Get the used storage, and the time at which the oldest execution of each flow is purged."""
        return json_response(
            await storage_view(
                engine.store,
                engine.blobs,
                engine.retention_of,
                engine.clock.now(),
                budget=engine.options.disk_budget,
                full=engine.intake.full,
            )
        )
