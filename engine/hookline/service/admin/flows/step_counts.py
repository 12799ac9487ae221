"""The admin API's route that counts how the steps of a flow have ended in its newest executions."""

from collections import Counter
from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.executions.waiting_callers import FINISHED
from hookline.kernel.clocks import rfc3339
from hookline.model.execution import FINAL, INTERRUPTED, Execution, ExecutionFilter, State, StepState
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import MAX_LIMIT, Parameter, read_limit, read_query, require_flow
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Time
from hookline.storage.store import Store

_ENTRIES: Final = 1000
"""The most entries of an execution's journal that are read."""
_NEWEST: Final = (
    Parameter(
        "executions",
        "How many of the newest executions.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50},
        read_limit,
    ),
)


class StepCounts(msgspec.Struct, frozen=True):
    """The counts of a flow's steps, over its newest executions and as many of those that wait."""

    executions: Count
    """The number of newest executions."""
    since: Time | None
    """The time at which the message of the oldest of them was accepted; null if there is none."""
    items: dict[str, dict[str, Count]]
    """By the id of each step, and then by the last state of the step in an execution, or in an item of a `foreach`:
    those of `GET /executions/<id>`. Of an execution, the first 1,000 entries of the journal are counted."""


def add_step_counts(api: Blueprint, engine: Engine) -> None:

    @api.get("/flows/<flow_id>/step-counts")
    @operation(StepCounts, query=_NEWEST)
    async def count_steps(flow_id: str) -> Response:
        """Count the last states of each step in the newest executions of a flow, and in as many of those that wait."""
        limit = read_query(_NEWEST)["executions"]
        await require_flow(engine, flow_id)
        return json_response(await _counted(engine.store, flow_id, limit))


async def _counted(store: Store, flow_id: str, limit: int) -> StepCounts:
    newest = (await store.executions(ExecutionFilter(flow_id=flow_id), limit=limit)).items
    waiting = (await store.executions(ExecutionFilter(flow_id=flow_id, state=State.WAITING), limit=limit)).items
    counted = {one.execution.id: one.execution for one in (*newest, *waiting)}
    counts: dict[str, Counter[str]] = {}
    for execution in counted.values():
        for step_id, state in await _last_states(store, execution):
            counts.setdefault(step_id, Counter())[state] += 1
    since = rfc3339(newest[-1].execution.created_at) if newest else None
    return StepCounts(len(newest), since, {step_id: dict(found) for step_id, found in counts.items()})


async def _last_states(store: Store, execution: Execution) -> list[tuple[str, str]]:
    """The id and the last state of each step of an execution, and of each item."""
    entries = await store.journal(execution.id, limit=_ENTRIES)
    last = {record.path: record for record in entries if record.id != FINISHED}
    ended = execution.state in FINAL
    states = [
        (record.id, INTERRUPTED if ended and record.state is StepState.WAITING else record.state.value)
        for record in last.values()
    ]
    failed = execution.error.step if execution.error is not None else None
    if failed is not None and failed not in last:
        # A step whose condition can't be evaluated fails without an entry.
        states.append((failed.rpartition("/")[2], StepState.FAILED.value))
    return states
