"""How much room everything takes, and what goes when: as the admin API and the command line show it."""

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
    """How long a flow's executions are kept once they have ended."""

    flow_id: str
    age: int
    """Seconds."""
    count: int | None
    """How many at most; null where that doesn't matter."""
    next_at: Time | None
    """When the oldest that has ended goes; null where none has. What is due goes within a quarter of an hour."""


class StorageView(msgspec.Struct, frozen=True):
    """How much room everything takes: bytes."""

    database: int
    """What it has on disk."""
    reusable: int | None
    """Of that, what new data fills before the database grows; null where it doesn't say."""
    files: int
    executions: int
    """How many executions are kept, about."""
    budget: int | None
    """Null where there is none."""
    full: str | None
    """Why no message is taken, where that is so."""
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
    """What is stored now. Raises StoreError."""
    room = await store.room()
    flows = []
    for flow_id in sorted(await store.flows_with_history()):
        retention = retention_of(flow_id)
        at = await _next(store, flow_id, retention, now)
        shown = None if at is None else rfc3339(at)
        flows.append(FlowRetentionView(flow_id, int(retention.age.total_seconds()), retention.count, shown))
    return StorageView(room.total, room.free, await blobs.room(), room.executions, budget, full, flows)


async def _next(store: Store, flow_id: str, retention: Retention, now: datetime) -> datetime | None:
    if retention.count is not None and await store.first_too_many(flow_id, retention.count) is not None:
        return now
    oldest = await store.purgeable(flow_id, now + timedelta(seconds=1), 1)
    execution = await store.execution(oldest[0]) if oldest else None
    if execution is None or execution.finished_at is None:
        return None
    return max(now, execution.finished_at + retention.age)


def add_storage(api: Blueprint, engine: Engine) -> None:
    """Add the route."""

    @api.get("/storage")
    @operation(StorageView)
    async def get_storage() -> Response:
        """How much room everything takes, and when the oldest executions of each flow go."""
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
