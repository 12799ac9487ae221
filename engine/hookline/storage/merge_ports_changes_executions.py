"""What becomes of an execution."""

from dataclasses import dataclass
from datetime import datetime

from hookline.model.execution import ErrorInfo, Outcome, State, StepRecord
from hookline.storage.merge_ports_changes_callbacks import CallBack


@dataclass(frozen=True, slots=True)
class Start:
    """queued, or parked before its first step, → running; the version of the flow is bound."""

    execution_id: str
    flow_version: str
    at: datetime
    vars: bytes | None = None
    """JSON of the flow's vars, where they aren't those of its document: they stay the execution's until it ends."""
    deadline: datetime | None = None
    """When its time is up."""


@dataclass(frozen=True, slots=True)
class Resume:
    """waiting → running. Harmless where it runs already, as what ran when the process died does."""

    execution_id: str
    at: datetime
    flow_version: str | None = None
    """The version on which it goes on, where one is bound: it goes on only if it hasn't been moved to another."""


@dataclass(frozen=True, slots=True)
class Record:
    """Entries are added to the journal of a running execution."""

    execution_id: str
    steps: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """queued or running → waiting; it becomes ready again at `ready_at`, or where that is None when it is unblocked.

    It is ready at once where what it waits for has come meanwhile, or somebody wants it cancelled.
    """

    execution_id: str
    at: datetime
    ready_at: datetime | None
    reason: str
    cancelling: bool = False
    """It knows that it is to be cancelled, and waits in what is done at the end: that wish makes it ready no more."""


@dataclass(frozen=True, slots=True)
class Unblock:
    """Each execution of the flow that waits for a cause outside it (`BLOCKED`) becomes ready.

    One that is blocked has a time where some of it waits to be tried again besides.
    """

    flow_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """→ succeeded, failed or cancelled, from where `MOVES` lets it.

    The next execution with its order key becomes ready, unless this one failed and holds the key (`order_holds`). The
    key of its seal is erased, unless it failed.
    """

    execution_id: str
    state: State
    outcome: Outcome
    at: datetime
    error: ErrorInfo | None = None
    waited: bool = True
    """Whether any of its steps may have waited for a callback."""
    patient: bool = False
    """Its commit may wait a moment for somebody else's, and share it: nobody waits for this end."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """failed → waiting, ready at once; its attempt counts up. What its journal holds as succeeded stays so.

    Where it had released its order key, it goes behind those that are there now with the same.
    """

    execution_id: str
    at: datetime
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rebind:
    """A waiting execution is bound to another version of its flow, and is ready at once: what it waits for is seen
    again.

    It isn't ready where another with its order key goes first. Illegal where it doesn't wait, never ran, is to be
    cancelled, or has gone on since its journal ended with `last_seq`.
    """

    execution_id: str
    flow_version: str
    at: datetime
    last_seq: int
    vars: bytes | None = None
    """JSON of its vars from now on, where they aren't those of that version's document."""


@dataclass(frozen=True, slots=True)
class Discard:
    """A failed execution needs no more care: it is a dead letter no longer, and stays in the history, without its
    seal's key."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class KeepSeal:
    """The key of an execution's seal, wrapped; an execution that ends as anything but failed keeps none.

    Nothing happens where the key that it has is another than `was`.
    """

    execution_id: str
    key: bytes
    was: bytes | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A failed execution that holds its order key makes way for the next. Nothing happens where it holds none."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody asks that it ends as cancelled: one that never ran does so at once, one that waits becomes ready."""

    execution_id: str
    at: datetime
    tells: CallBack | None = None
    """For the step that waits for its end: committed where it ends at once."""


@dataclass(frozen=True, slots=True)
class ForgetFiles:
    """The executions refer to their files no more. One that has not ended, or was reopened, keeps them."""

    execution_ids: tuple[str, ...]
    at: datetime
