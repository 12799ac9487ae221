"""What becomes of messages that a step gathers."""

from dataclasses import dataclass
from datetime import datetime

from hookline.model.batch import Gathered
from hookline.model.execution import StepRecord


@dataclass(frozen=True, slots=True)
class Join:
    """A running execution comes to a step that gathers. Gives `Leads`, or `Joined`.

    It joins the batch that is open for the flow, its version, the path of the step and the key, unless that is over
    at `at`, or would become larger than `LARGEST`: then that one is closed, and this execution leads a new one. Where
    the batch is full with it, that is closed. The leader of a batch that is closed becomes ready.

    The step's entry is made with it. Illegal where the execution doesn't run, or has the entry already.
    """

    step: StepRecord
    """As it is where the execution leads: it waits, until `due_at` where the time is bounded. Where it joins another's
    batch, it is its last: the step succeeded, with signal `JOINED` and `joined_output`."""
    flow_id: str
    flow_version: str
    key: str
    size: int
    """How many messages are a full batch."""
    gathered: Gathered
    """What the execution adds."""
    at: datetime

    @property
    def execution_id(self) -> str:
        """The execution that comes."""
        return self.gathered.execution_id


@dataclass(frozen=True, slots=True)
class CloseBatch:
    """No more executions join the batch that one leads at a step; nothing happens where it is closed."""

    execution_id: str
    path: str


@dataclass(frozen=True, slots=True)
class TakeBatch:
    """The leader has what was gathered in its journal: the batch goes."""

    execution_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Leads:
    """The execution is the first of a batch."""

    closed: str | None = None
    """The leader of the batch that was closed, and is ready now."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The execution is part of another's batch."""

    leader_id: str
    place: int
    """Which message of the batch it is, from 1, which is the leader's."""
    full: bool = False
    """It was the last; the leader is ready now."""
