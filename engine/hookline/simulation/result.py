"""The record and the result of a simulation: the steps of its executions by place, and the calls that were stubbed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hookline.executions.waiting_callers import FINISHED
from hookline.model.execution import ErrorInfo, Outcome, StepRecord, StepState
from hookline.model.message import CallerReply


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A stubbed call: it had no effect, and its answer came from outside the flow."""

    step: str
    use: str
    settings: Any


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The result of a simulation."""

    outcome: Outcome | None
    """None if it still waits."""
    body: Any
    error: ErrorInfo | None
    reason: str | None
    """The reason for which it waits."""
    reply: CallerReply | None
    steps: Mapping[str, Sequence[StepRecord]]
    """All entries that the journal ever held, by path."""
    path: tuple[str, ...]
    calls: tuple[SimulatedCall, ...]
    took: timedelta
    exact: bool
    missing: tuple[str, ...] = ()
    """The calls that had no stub."""
    unanswered: tuple[str, ...] = ()
    """The paths of steps that waited for a callback that never came."""


_DONE: Final = frozenset({StepState.SUCCEEDED, StepState.FAILED})


class SimulationRecord:
    """The committed journal entries. The place of a step in a called flow begins with that of the calling step."""

    def __init__(self) -> None:
        self._prefixes: dict[str, str] = {}
        self.steps: dict[str, list[StepRecord]] = {}
        """All entries that the journals ever held, by place."""
        self.done: dict[str, None] = {}
        """The places of the steps that have ended, in order."""
        self.calls: list[SimulatedCall] = []
        self.missing: list[str] = []
        """The calls that had no stub."""
        self.unanswered: list[str] = []
        """The places of steps that waited for a callback that never came."""

    def begin(self, execution_id: str, prefix: str) -> None:
        """Add an execution to the simulation; the places of its steps begin with `prefix`."""
        self._prefixes[execution_id] = prefix

    def knows(self, execution_id: str) -> bool:
        """Return true for an execution of this simulation."""
        return execution_id in self._prefixes

    def place(self, execution_id: str, path: str = "") -> str:
        """Return the path of an execution's step, behind the path of the step that called its flow."""
        return self._prefixes[execution_id] + path

    def note(self, execution_id: str, records: Sequence[StepRecord]) -> None:
        """Add entries of an execution's journal."""
        for record in records:
            place = self.place(execution_id, record.path)
            self.steps.setdefault(place, []).append(record)
            if record.state in _DONE and record.path != FINISHED:
                self.done.setdefault(place)

    @property
    def own(self) -> frozenset[str]:
        """The paths of the main execution's steps."""
        inner = tuple(prefix for prefix in self._prefixes.values() if prefix)
        return frozenset(path for path in self.steps if not inner or not path.startswith(inner))
