"""The journal entries of action steps."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hookline.executions.steps.attempt import Attempt
from hookline.executions.steps.settings import UNEVALUATED, StepSettings, settings_json
from hookline.flows.blocks.action import ActionNode
from hookline.kernel.errors import StepError
from hookline.kernel.json import encode, is_heavy_value
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.model.message import CallerReply
from hookline.sdk.action import Increment
from hookline.sdk.context import check_key
from hookline.storage.changes import SetState


async def record_attempt(
    attempt: Attempt,
    state: StepState,
    *,
    output: Any = None,
    signal: str | None = None,
    error: ErrorInfo | None = None,
    due_at: datetime | None = None,
    kept: Sequence[SetState] = (),
) -> datetime:
    """Record how an attempt ended or why it waits, with the changes of the flow's state that it `kept`.

    `due_at`: the time of the next attempt, or the end of a sleep. Returns the time of the entry.
    """
    finished_at = attempt.run.services.clock.now()
    await _add(
        attempt,
        output,
        kept,
        state=state,
        finished_at=finished_at,
        error=error,
        due_at=due_at,
        signal=signal,
    )
    return finished_at


async def record_start(attempt: Attempt) -> None:
    """Record durably that an action which must not run twice is about to run."""
    await _add(attempt, None, (), state=StepState.STARTED, finished_at=attempt.started_at)
    await attempt.run.journal.flush()


async def record_count(attempt: Attempt, count: Increment) -> StepRecord:
    """Add to a number of the flow's state and record it; return the durable entry. Raises StepError if the value isn't
    a number."""
    run, attachments = attempt.run, attempt.frame.message.attachments
    changes, now = attempt.changes(count.key), run.services.clock.now()
    record = await run.journal.count(
        run.flow.id,
        check_key(count.key),
        encode(count.by),
        now,
        *changes,
        **_head(attempt),
        state=StepState.SUCCEEDED,
        finished_at=now,
        input=settings_json(attempt.node, attempt.settings.raw),
        output=encode({"attachments": attachments}) if attachments else None,
    )
    if record is None:
        raise StepError(
            f"the flow's state under {count.key!r} is not a number that can be added to; set it, or remove it",
            code="state.not_a_number",
        )
    return record


async def _add(attempt: Attempt, output: Any, kept: Sequence[SetState], **entry: Any) -> None:
    journal, node, settings = attempt.run.journal, attempt.node, attempt.settings
    entry |= _head(attempt)
    computed_again = attempt.computed_again
    if is_heavy_value(output.body if isinstance(output, CallerReply) else output) or is_heavy_value(settings.raw):
        await journal.add_large(
            lambda: (_input(node, settings), _output(output)), kept, computed_again=computed_again, **entry
        )
        return
    journal.add(computed_again=computed_again, input=_input(node, settings), output=_output(output), **entry)
    if kept:
        journal.set_state(*kept)


def _head(attempt: Attempt) -> dict[str, Any]:
    node = attempt.node
    return {
        "id": node.id,
        "path": attempt.path,
        "use": node.action.name,
        "attempt": attempt.number,
        "started_at": attempt.started_at,
    }


def _input(node: ActionNode, settings: StepSettings) -> bytes | None:
    return None if settings is UNEVALUATED else settings_json(node, settings.raw)


def _output(output: Any) -> bytes | None:
    return None if output is None else encode(output)
