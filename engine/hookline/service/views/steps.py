"""Steps of executions, and what went wrong."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.kernel.time import rfc3339
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.service.views.pages import Time, time_view

_NULL = msgspec.Raw(b"null")
#: The state of a step that still waited when its execution ended.
INTERRUPTED: Final = "interrupted"


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
    """The latest attempt at a step, and those before it.

    Of an execution that has ended, a step that still waited is `interrupted`.
    """

    earlier: list[AttemptView]
    """In order; the newest 20 of them."""


def step_view(record: StepRecord) -> StepView:
    """One attempt at a step."""
    return StepView(**_step(record))


def latest_view(record: StepRecord, earlier: Iterable[StepRecord], ended_at: datetime | None) -> LatestView:
    """The latest attempt at a step, with those before it, in order; `ended_at`: when the execution ended."""
    shown = _step(record)
    if record.state is StepState.WAITING and ended_at is not None:
        # It waits no more: the execution was cancelled, say, and a journal is only added to.
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
    """An error; None where there is none."""
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
