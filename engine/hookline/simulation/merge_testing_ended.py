"""What became of a trial of a flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hookline.model.execution import ErrorInfo, Outcome, StepRecord
from hookline.model.merge_model_reply import CallerReply


@dataclass(frozen=True, slots=True)
class Call:
    """A call that went nowhere, and was answered from outside the flow."""

    step: str
    use: str
    settings: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a trial."""

    outcome: Outcome | None
    """None where it waits for ever."""
    body: Any
    error: ErrorInfo | None
    reason: str | None
    """What it waits for."""
    reply: CallerReply | None
    steps: Mapping[str, Sequence[StepRecord]]
    """All that the journal ever held, by path."""
    path: tuple[str, ...]
    calls: tuple[Call, ...]
    took: timedelta
    exact: bool
    missing: tuple[str, ...] = ()
    """What it met, and nothing outside was there for."""
    unanswered: tuple[str, ...] = ()
    """Steps that waited, and nobody called."""
