"""What is kept of a flow."""

from dataclasses import dataclass
from datetime import datetime

from hookline.model.execution import StepRecord
from hookline.model.flow import FlowState


@dataclass(frozen=True, slots=True)
class Publish:
    """A version of a flow is kept, so that executions bound to it can go on with it, and serves from now on.

    Known versions stay as they are; one that serves already stays the one that serves since it began to.
    """

    flow_id: str
    version: str
    document: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class OverrideState:
    """An operator decides whether a flow is active, paused or stopped, whatever its file says."""

    flow_id: str
    state: FlowState | None
    """None: what its file says holds."""
    file_state: FlowState
    """What its file says now: once it says something else, that holds."""
    at: datetime


@dataclass(frozen=True, slots=True)
class SetState:
    """A flow keeps a value under a key; None removes it."""

    flow_id: str
    key: str
    value: bytes | None
    """JSON."""
    at: datetime


@dataclass(frozen=True, slots=True)
class AddState:
    """A step counts: a flow's value under a key, 0 where there is none, grows. Gives `Added`, or `NotANumber`.

    The step's entry is made with it: its output is an object whose `body` is the new value, beside what the entry has
    there already. Illegal where the execution
    doesn't run, or has the entry already.
    """

    execution_id: str
    step: StepRecord
    """Its output is none, or JSON of an object without a body."""
    flow_id: str
    key: str
    by: bytes
    """JSON of a number."""
    at: datetime


def counted_output(value: bytes, beside: bytes | None) -> bytes:
    """The output of a step that has counted, of JSON of the new value and of the output that its entry has."""
    rest = b"}" if beside is None or beside == b"{}" else b"," + beside[1:]
    return b'{"body":' + value + rest


@dataclass(frozen=True, slots=True)
class Added:
    """What the value is now."""

    value: bytes
    """JSON of a number: exact, whatever the numbers of the flow are."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """Nothing was changed, and there is no entry: the value is none that can be counted on with."""


@dataclass(frozen=True, slots=True)
class SetCursor:
    """A flow's trigger has got so far."""

    flow_id: str
    value: bytes
    """JSON."""
    at: datetime
