"""Steps of executions, and what went wrong."""

from collections.abc import Iterable
from typing import Any

import msgspec

from hookline.clock import rfc3339
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.service.views.pages import Time, time_view

_NULL = msgspec.Raw(b"null")


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


def step_view(record: StepRecord) -> StepView:
    """One attempt at a step."""
    return StepView(**_step(record))


def latest_view(record: StepRecord, earlier: Iterable[StepRecord]) -> LatestView:
    """The latest attempt at a step, with those before it, in order."""
    return LatestView(
        **_step(record),
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
