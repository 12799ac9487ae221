"""Executions, their steps and their errors as JSON."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from hookline.executions.execution_context import HookUrls
from hookline.intake.callbacks import waiting_records
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import Malformed
from hookline.model.dead_letter_causes import full_cause
from hookline.model.execution import FINAL, INTERRUPTED, ErrorInfo, Execution, Outcome, State, StepRecord, StepState
from hookline.model.message import Arrival, head_of
from hookline.service.views.json_field_types import Count, Time, Uuid, one_of, time_view
from hookline.service.views.list_page import PageView
from hookline.storage.store import ExecutionPage, Store

_NULL = msgspec.Raw(b"null")


StateName = Annotated[str, one_of(*State)]
StepStateName = Annotated[str, one_of(*StepState)]
OutcomeName = Annotated[str, one_of(*Outcome)]


class ErrorView(msgspec.Struct, frozen=True):
    """The error of a step or an execution."""

    code: str
    message: str
    step: str | None
    retryable: bool


_SIGNALS: Final = ("pass", "filtered", "stopped", "joined", "rate", "until", "not_begun", "interrupted", "stream")


class StepView(msgspec.Struct, frozen=True):
    """One attempt at a step."""

    id: str
    path: str
    use: str
    state: Annotated[str, one_of(*StepState, INTERRUPTED)]
    attempt: Count
    input: msgspec.Raw
    """The settings after mapping, secrets masked; null if none were recorded."""
    output: msgspec.Raw
    """The result with `body`, `headers`, `attachments` and further values; null if there is none."""
    error: ErrorView | None
    started_at: Time
    finished_at: Time
    due_at: Time | None
    """The time of the next attempt."""
    signal: Annotated[str, one_of(*_SIGNALS)] | None
    """`pass` if the message passed as it was; `filtered` or `stopped` if the step ended its branch or the execution;
    `joined` if the execution is part of another's batch; `rate` or `until` while it waits for its rate limit, or until
    a time that its flow names; `not_begun` if it failed before it did anything; `interrupted` if the execution was
    cancelled or ran out of time at this step, or another part of its block ended; `stream` if its items were written
    one by one."""


class AttemptView(msgspec.Struct, frozen=True):
    """An earlier attempt at a step."""

    attempt: Count
    state: StepStateName
    error: ErrorView | None
    started_at: Time
    finished_at: Time
    due_at: Time | None


class LatestView(StepView, frozen=True):
    """The latest attempt at a step, and the earlier ones.

    If the execution has ended, a step that still waited is `interrupted`.
    """

    earlier: list[AttemptView]
    """In order; the newest 20 of them."""


def step_view(record: StepRecord) -> StepView:
    return StepView(**_step(record))


def latest_view(record: StepRecord, earlier: Iterable[StepRecord], ended_at: datetime | None) -> LatestView:
    """The latest attempt at a step with the earlier ones, in order. `ended_at`: the end of the execution."""
    shown = _step(record)
    if record.state is StepState.WAITING and ended_at is not None:
        # It no longer waits: the execution was cancelled, for example, and the journal is append-only.
        shown |= {"state": INTERRUPTED, "finished_at": rfc3339(ended_at), "due_at": None}
    return LatestView(
        **shown,
        earlier=[
            AttemptView(
                one.attempt,
                one.state.value,
                error_view(one.error),
                rfc3339(one.started_at),
                rfc3339(one.finished_at),
                time_view(one.due_at),
            )
            for one in earlier
        ],
    )


def error_view(error: ErrorInfo | None) -> ErrorView | None:
    return None if error is None else ErrorView(error.code, error.message, error.step, error.retryable)


def _step(record: StepRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "path": record.path,
        "use": record.use,
        "state": record.state.value,
        "attempt": record.attempt,
        "input": _NULL if record.input is None else msgspec.Raw(record.input),
        "output": _NULL if record.output is None else msgspec.Raw(record.output),
        "error": error_view(record.error),
        "started_at": rfc3339(record.started_at),
        "finished_at": rfc3339(record.finished_at),
        "due_at": time_view(record.due_at),
        "signal": record.signal,
    }


STEPS_SHOWN = 1000
"""The number of steps in an execution's view; the API's list of steps pages through all."""
ATTEMPTS_SHOWN = 20
"""The number of earlier attempts at each step."""


class SummaryView(msgspec.Struct, frozen=True):
    """An execution in a list."""

    id: Uuid
    flow_id: str
    flow_version: str | None
    state: StateName
    outcome: OutcomeName | None
    trigger: dict[str, Any]
    tags: dict[str, str]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: ErrorView | None
    attempt: Count
    reason: str | None
    """The reason why it waits."""
    ready_at: Time | None
    """The time at which it runs next."""
    files_removed_at: Time | None
    """The time at which its files were removed by retention; null while they are kept."""
    replay_of: Uuid | None
    """The execution that it replays."""
    node: str | None
    """The node that runs it or has claimed it, or ran it last; null if it waits for any, and on SQLite."""
    cause: str | None
    """The name of its group of dead letters, whether or not it was discarded."""
    discarded_at: Time | None
    """The time at which it was discarded."""


class WaitView(msgspec.Struct, frozen=True):
    """A step that waits for a callback."""

    step: str
    path: str
    since: Time
    until: Time | None
    """The time until which it waits; null if it waits as long as the execution."""
    url: str | None
    """The resume URL; null for readers who may not resume, since the URL is all that a callback needs."""


class ItemsView(msgspec.Struct, frozen=True):
    """The progress of a foreach of which only the items in progress are among the steps."""

    path: str
    total: Count
    done: Count
    failed: Count
    """The number of finished items that failed; the first of them are among the steps."""


class ExecutionView(SummaryView, frozen=True):
    """An execution with the latest attempt at each of its steps."""

    waits: list[WaitView]
    """The callbacks for which it waits."""
    steps: list[LatestView]
    more_steps: str | None
    """The cursor from which `executions/<id>/steps` lists the attempts at further steps; null if there are none."""
    items: list[ItemsView]
    """Each unfinished foreach with many items or over a stream."""


def summary_view(execution: Execution, payload: bytes) -> SummaryView:
    """`payload`: the packed message."""
    head = head_of(payload)
    return SummaryView(**_summary(execution, head.arrival, head.tags))


def page_view(page: ExecutionPage) -> PageView[SummaryView]:
    return PageView([summary_view(summary.execution, summary.payload) for summary in page.items], page.next)


async def execution_view(
    store: Store, execution_id: str, urls: HookUrls | None = None, *, outline: bool = False
) -> ExecutionView | None:
    """The view of an execution with its steps, or None if it doesn't exist.

    `urls` returns the resume URLs of waiting steps, for readers who may resume. `outline` leaves out the inputs and the
    outputs of the steps.
    """
    execution = await store.execution(execution_id)
    if execution is None:
        return None
    envelope = await store.envelope(execution_id)
    latest: dict[str, StepRecord] = {}
    earlier: dict[str, deque[StepRecord]] = {}
    more: str | None = None
    after = 0
    while records := await store.journal(execution_id, after, STEPS_SHOWN):
        after = records[-1].seq
        for record in records:
            record = _outlined(record) if outline else record
            before = latest.get(record.path)
            if before is not None:
                earlier.setdefault(record.path, deque(maxlen=ATTEMPTS_SHOWN)).append(before)
            if before is not None or len(latest) < STEPS_SHOWN:
                latest[record.path] = record
            elif more is None:
                more = str(record.seq - 1)
    ended_at = execution.finished_at if execution.state in FINAL else None
    waits = [] if execution.state in FINAL else await waiting_records(store, execution_id)
    return ExecutionView(
        **_summary(execution, None, {}) if envelope is None else _summary(execution, envelope.arrival, envelope.tags),
        waits=[_wait_view(record, None if urls is None else urls(execution_id, record.path)) for record in waits],
        steps=[latest_view(record, earlier.get(path, ()), ended_at) for path, record in latest.items()],
        more_steps=more,
        items=[ItemsView(one.path, one.total, one.finished, one.failed) for one in await store.progress(execution_id)],
    )


def _outlined(record: StepRecord) -> StepRecord:
    return msgspec.structs.replace(record, input=None, output=None)


async def steps_view(
    store: Store, execution_id: str, cursor: str | None, limit: int, *, outline: bool = False
) -> PageView[StepView]:
    """One page of an execution's journal; `outline` leaves out inputs and outputs.

    Raises ValueError for a cursor that isn't one.
    """
    after = 0 if cursor is None else _sequence(cursor)
    records = await store.journal(execution_id, after, limit + 1)
    shown = records[:limit]
    return PageView(
        [step_view(_outlined(record) if outline else record) for record in shown],
        str(shown[-1].seq) if len(records) > limit and shown else None,
    )


def _wait_view(record: StepRecord, url: str | None) -> WaitView:
    return WaitView(record.id, record.path, rfc3339(record.started_at), time_view(record.due_at), url)


def _sequence(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 12):
        raise ValueError("this cursor belongs to another list")
    return int(cursor)


def _summary(execution: Execution, arrival: Arrival | None, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "id": execution.id,
        "flow_id": execution.flow_id,
        "flow_version": execution.flow_version,
        "state": execution.state.value,
        "outcome": None if execution.outcome is None else execution.outcome.value,
        "trigger": {} if arrival is None else msgspec.to_builtins(arrival),
        "tags": tags,
        "created_at": rfc3339(execution.created_at),
        "started_at": time_view(execution.started_at),
        "finished_at": time_view(execution.finished_at),
        "error": error_view(execution.error),
        "attempt": execution.attempt,
        "reason": execution.reason,
        "ready_at": time_view(execution.ready_at),
        "files_removed_at": time_view(execution.files_removed_at),
        "replay_of": execution.replay_of,
        "node": execution.node,
        "cause": None if execution.error_cause is None else full_cause(execution.flow_id, execution.error_cause),
        "discarded_at": time_view(execution.discarded_at),
    }


def cause_parts(cause: str) -> tuple[str, str]:
    """The flow and the hash in the name of a group of dead letters. Raises Malformed."""
    flow_id, colon, own = cause.rpartition(":")
    if not colon or not flow_id:
        raise Malformed(f"{cause!r} is not a cause; `dead-letters list` shows causes, in the form <flow>:<hash>.")
    return flow_id, own
