"""What the admin API and the command line show of executions, their steps, credentials and plugins.

Frozen records, which `hookline.jsontypes.encode` writes; times are RFC 3339 in UTC.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from hookline.clock import rfc3339
from hookline.errors import Problem
from hookline.flows.catalog import Entry
from hookline.model.execution import FINAL, ErrorInfo, Execution, StepRecord
from hookline.model.message import arrival_view, pack
from hookline.ports import Page, RefusedPage, Store
from hookline.registry import PluginStatus
from hookline.runtime.credentials import CredentialInfo
from hookline.runtime.execution_run import HookUrls
from hookline.runtime.flow_states import FlowStates
from hookline.runtime.source import SourceStatus
from hookline.runtime.waiting_now import waiting_now

STEPS_SHOWN = 1000
"""How many steps an execution's view holds at most; `steps` of the API pages through all."""

ATTEMPTS_SHOWN = 20
"""How many attempts before the latest it holds of each."""

_T = TypeVar("_T")
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class PageView(msgspec.Struct, Generic[_T], frozen=True):
    """One page of a list."""

    items: list[_T]
    next: str | None
    """The cursor of the next page; null at the end."""


class ErrorView(msgspec.Struct, frozen=True):
    """Why a step or an execution failed."""

    code: str
    message: str
    step: str | None
    retryable: bool


class StepView(msgspec.Struct, frozen=True):
    """One attempt at a step."""

    id: str
    path: str
    use: str
    state: str
    attempt: int
    input: msgspec.Raw
    """The settings after mapping, secrets masked; null where none were recorded."""
    output: msgspec.Raw
    """The result: `body`, `headers`, `attachments` and what stands beside them; null where there is none."""
    error: ErrorView | None
    started_at: Time
    finished_at: Time
    due_at: Time | None
    """When it is tried again."""
    signal: str | None
    """`filtered` or `stopped` where the step ended its branch or the execution, `joined` where that is part of
    another's batch."""


class AttemptView(msgspec.Struct, frozen=True):
    """An attempt at a step before its latest one."""

    attempt: int
    state: str
    error: ErrorView | None
    started_at: Time
    finished_at: Time
    due_at: Time | None


class LatestView(StepView, frozen=True):
    """The latest attempt at a step, and those before it."""

    earlier: list[AttemptView]
    """In order; the newest 20 of them."""


class SummaryView(msgspec.Struct, frozen=True):
    """An execution as lists show it."""

    id: str
    flow_id: str
    flow_version: str | None
    state: str
    outcome: str | None
    trigger: dict[str, Any]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: ErrorView | None
    attempt: int
    reason: str | None
    """Why it waits."""
    ready_at: Time | None
    """When it is run next."""
    files_removed_at: Time | None
    """When its files were removed, since it had ended long before; null while they are kept."""
    replay_of: str | None
    """The execution that it does again."""
    cause: str | None
    """The group of dead letters in which it is, or would be if it weren't discarded."""
    discarded_at: Time | None
    """When somebody said that it needs no more care."""


class WaitView(msgspec.Struct, frozen=True):
    """A step that waits for a call."""

    step: str
    path: str
    since: Time
    until: Time | None
    """When it waits no more; null where it waits as long as the execution."""
    url: str | None
    """Where it is called; null for those who may only read, since whoever knows it may call."""


class ItemsView(msgspec.Struct, frozen=True):
    """How far a foreach has got of whose items only those under way are among the steps."""

    path: str
    total: int
    done: int
    failed: int
    """How many of those that are done failed; the first of them are among the steps."""


class ExecutionView(SummaryView, frozen=True):
    """An execution with the latest attempt at each of its steps."""

    waits: list[WaitView]
    """The calls that it waits for."""
    steps: list[LatestView]
    more_steps: bool
    """There are more steps than are shown here; `executions/<id>/steps` has all."""
    items: list[ItemsView]
    """Each foreach with many items, or with those of a stream, that has not come to its end."""


class RefusedView(msgspec.Struct, frozen=True):
    """A request that was refused."""

    id: str
    flow_id: str
    """`-` where no flow answers at its path."""
    at: Time
    code: str
    status: int
    detail: str
    """What the sender was told, and why, as far as that is known here."""
    method: str
    path: str
    """What followed `/hook/`, without the query."""
    size: int
    """Bytes of the body that came, or that were announced where none was read."""
    client: str | None
    body: str | None
    """The beginning of the body, secrets masked, where the flow keeps it."""


class SourceView(msgspec.Struct, frozen=True):
    """A trigger that starts its flow by itself: a schedule, or a poll."""

    last_at: Time | None
    """When it last fired, or looked."""
    next_at: Time | None
    """When it does next; null where it never does again."""
    error: str | None
    """Why it failed when it last looked."""
    failures: int
    """How often it has failed in a row."""


class OverrideView(msgspec.Struct, frozen=True):
    """An operator's decision about a flow's state."""

    at: Time
    file_state: str
    """What its file says; once it says something else, that holds."""


class FlowView(msgspec.Struct, frozen=True):
    """A flow."""

    id: str
    title: str
    state: str
    """`active`, `paused`, `stopped`, or `broken` where no version of it can serve."""
    override: OverrideView | None
    """What an operator has decided its state to be; null where the state is the one that its file says."""
    version: str | None
    """The version that new executions get."""
    trigger: str | None
    url: str | None
    """Where its webhook is; null where requests don't start it."""
    source: SourceView | None
    """How its schedule or its poll is doing; null where it has none, or none that runs here now."""
    file: str
    problems: tuple[Problem, ...]
    """What is wrong with the file as it is now."""


class CredentialView(msgspec.Struct, frozen=True):
    """A credential without its secrets."""

    name: str
    type: str
    updated_at: Time
    problem: str | None
    """Why it can't be used."""


class PluginView(msgspec.Struct, frozen=True):
    """A plugin and whether it works."""

    name: str
    module: str
    distribution: str | None
    version: str | None
    error: str | None


_NULL = msgspec.Raw(b"null")


def step_view(record: StepRecord) -> StepView:
    """One attempt at a step."""
    return StepView(**_step(record))


def _latest_view(record: StepRecord, earlier: Iterable[StepRecord]) -> LatestView:
    return LatestView(
        **_step(record),
        earlier=[
            AttemptView(
                one.attempt,
                one.state.value,
                _error(one.error),
                rfc3339(one.started_at),
                rfc3339(one.finished_at),
                _time(one.due_at),
            )
            for one in earlier
        ],
    )


def cause_view(flow_id: str, cause: str) -> str:
    """The name of a group of dead letters."""
    return f"{flow_id}:{cause}"


def _step(record: StepRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "path": record.path,
        "use": record.use,
        "state": record.state.value,
        "attempt": record.attempt,
        "input": _NULL if record.input is None else msgspec.Raw(record.input),
        "output": _NULL if record.output is None else msgspec.Raw(record.output),
        "error": _error(record.error),
        "started_at": rfc3339(record.started_at),
        "finished_at": rfc3339(record.finished_at),
        "due_at": _time(record.due_at),
        "signal": record.signal,
    }


def summary_view(execution: Execution, trigger: Mapping[str, Any]) -> SummaryView:
    """An execution as lists show it; `trigger` is how its message came in."""
    return SummaryView(**_summary(execution, trigger))


def page_view(page: Page) -> PageView[SummaryView]:
    """One page of executions."""
    return PageView(
        [summary_view(summary.execution, arrival_view(summary.payload)) for summary in page.items], page.next
    )


async def execution_view(store: Store, execution_id: str, urls: HookUrls | None = None) -> ExecutionView | None:
    """An execution with its steps; None where there is none.

    `urls` gives the URLs of steps that wait, for those who may call them.
    """
    execution = await store.execution(execution_id)
    if execution is None:
        return None
    envelope = await store.envelope(execution_id)
    trigger = {} if envelope is None else arrival_view(pack(envelope))
    latest: dict[str, StepRecord] = {}
    earlier: dict[str, deque[StepRecord]] = {}
    more = False
    after = 0
    while records := await store.journal(execution_id, after, STEPS_SHOWN):
        after = records[-1].seq
        for record in records:
            before = latest.get(record.path)
            if before is not None:
                earlier.setdefault(record.path, deque(maxlen=ATTEMPTS_SHOWN)).append(before)
            if before is not None or len(latest) < STEPS_SHOWN:
                latest[record.path] = record
            else:
                more = True
    waits = [] if execution.state in FINAL else await waiting_now(store, execution_id)
    return ExecutionView(
        **_summary(execution, trigger),
        waits=[_wait_view(record, None if urls is None else urls(execution_id, record.path)) for record in waits],
        steps=[_latest_view(record, earlier.get(path, ())) for path, record in latest.items()],
        more_steps=more,
        items=[ItemsView(one.path, one.total, one.finished, one.failed) for one in await store.progress(execution_id)],
    )


def _wait_view(record: StepRecord, url: str | None) -> WaitView:
    return WaitView(record.id, record.path, rfc3339(record.started_at), _time(record.due_at), url)


async def steps_view(store: Store, execution_id: str, cursor: str | None, limit: int) -> PageView[StepView]:
    """One page of an execution's journal: each attempt at each step. Raises ValueError for a cursor that isn't one."""
    after = 0 if cursor is None else _sequence(cursor)
    records = await store.journal(execution_id, after, limit + 1)
    shown = records[:limit]
    return PageView(
        [step_view(record) for record in shown], str(shown[-1].seq) if len(records) > limit and shown else None
    )


def _sequence(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 12):
        raise ValueError("this cursor is of another list")
    return int(cursor)


def _summary(execution: Execution, trigger: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": execution.id,
        "flow_id": execution.flow_id,
        "flow_version": execution.flow_version,
        "state": execution.state.value,
        "outcome": None if execution.outcome is None else execution.outcome.value,
        "trigger": dict(trigger),
        "created_at": rfc3339(execution.created_at),
        "started_at": _time(execution.started_at),
        "finished_at": _time(execution.finished_at),
        "error": _error(execution.error),
        "attempt": execution.attempt,
        "reason": execution.reason,
        "ready_at": _time(execution.ready_at),
        "files_removed_at": _time(execution.files_removed_at),
        "replay_of": execution.replay_of,
        "cause": None if execution.error_cause is None else cause_view(execution.flow_id, execution.error_cause),
        "discarded_at": _time(execution.discarded_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _error(error: ErrorInfo | None) -> ErrorView | None:
    return None if error is None else ErrorView(error.code, error.message, error.step, error.retryable)


def credential_view(info: CredentialInfo) -> CredentialView:
    """A credential without its secrets."""
    return CredentialView(info.name, info.type, rfc3339(info.updated_at), info.problem)


def refused_view(page: RefusedPage) -> PageView[RefusedView]:
    """One page of refused requests."""
    return PageView(
        [
            RefusedView(
                id=one.id,
                flow_id=one.flow_id,
                at=rfc3339(one.at),
                code=one.code,
                status=one.status,
                detail=one.detail,
                method=one.method,
                path=one.path,
                size=one.size,
                client=one.client,
                body=None if one.body is None else one.body.decode(errors="replace"),
            )
            for one in page.items
        ],
        page.next,
    )


def plugin_view(status: PluginStatus) -> PluginView:
    """A plugin and whether it works."""
    return PluginView(status.name, status.module, status.distribution, status.version, status.error)


def flow_view(entry: Entry, public_url: str, source: SourceStatus | None, states: FlowStates) -> FlowView:
    """A flow of the catalog."""
    flow = entry.flow
    override = None if flow is None else states.override(flow)
    hook = flow is not None and flow.trigger.webhook is not None
    return FlowView(
        id=entry.id,
        title="" if flow is None else flow.document.title,
        state=entry.state if flow is None else states.of(flow),
        override=None if override is None else OverrideView(rfc3339(override.at), override.file_state),
        version=None if flow is None else flow.version,
        trigger=None if flow is None else flow.trigger.use,
        url=f"{public_url}/hook/{entry.id}" if hook else None,
        source=None
        if source is None
        else SourceView(_time(source.last_at), _time(source.next_at), source.error, source.failures),
        file=str(entry.file),
        problems=entry.problems,
    )
