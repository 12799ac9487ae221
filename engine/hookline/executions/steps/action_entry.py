"""The contents of the journal entries of action steps."""

from datetime import datetime
from typing import Any

from hookline.executions.steps.attempt import Attempt
from hookline.executions.steps.settings import UNEVALUATED, settings_json
from hookline.kernel.json import encode, is_heavy_value
from hookline.model.execution import StepState
from hookline.model.message import CallerReply


def entry_of(attempt: Attempt, state: StepState, finished_at: datetime) -> dict[str, Any]:
    """The fields of an attempt's entry, without those that depend on how it ended."""
    step = attempt.step
    return {
        "id": step.id,
        "path": attempt.path,
        "use": step.action.name,
        "attempt": attempt.number,
        "started_at": attempt.started_at,
        "state": state,
        "finished_at": finished_at,
    }


def is_large_entry(attempt: Attempt, output: Any) -> bool:
    """True if the JSON of the entry is so large that it has to be made in a thread."""
    body = output.body if isinstance(output, CallerReply) else output
    return is_heavy_value(body) or is_heavy_value(attempt.settings.raw)


def input_json(attempt: Attempt) -> bytes | None:
    """The settings of the attempt; None if they were not evaluated."""
    settings = attempt.settings
    return None if settings is UNEVALUATED else settings_json(attempt.step, settings.raw)


def output_json(output: Any) -> bytes | None:
    """The output of a step; None if it has none."""
    return None if output is None else encode(output)
