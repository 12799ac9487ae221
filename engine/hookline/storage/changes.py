"""The changes that a store commits, one file for each subject, and what comes of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from hookline.model.batch import BatchItem
from hookline.model.execution import ErrorInfo, Outcome, State, StepRecord
from hookline.model.flow import FlowState
from hookline.model.items import Progress
from hookline.model.message import Envelope
from hookline.model.rejection import RejectedRequest


@dataclass(frozen=True, slots=True)
class Accept:
    """A message is accepted: a queued execution, unless its key was used and its window is still open.

    It isn't ready while another of the flow with its order key, accepted before, has not ended.
    """

    envelope: Envelope
    begun: bool = False
    """Other changes of the same commit say how far it has got already: it isn't handed out as one that never ran."""
    patient: bool = False
    """Its commit may wait a moment for somebody else's, and share it: its sender is over the flow's rate anyway."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Its key was used before, by this execution; nothing was started."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class JoinBatch:
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
    gathered: BatchItem
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
class BatchLed:
    """The execution is the first of a batch."""

    closed: str | None = None
    """The leader of the batch that was closed, and is ready now."""


@dataclass(frozen=True, slots=True)
class BatchJoined:
    """The execution is part of another's batch."""

    leader_id: str
    place: int
    """Which message of the batch it is, from 1, which is the leader's."""
    full: bool = False
    """It was the last; the leader is ready now."""


MAX_EARLY_CALLBACKS: Final = 1000
"""Callbacks that are kept of a step before anybody asks for their keys."""


@dataclass(frozen=True, slots=True)
class BeginWait:
    """A step of a running execution waits for a callback; one that was kept for its key is its own from now on."""

    execution_id: str
    path: str
    flow_id: str
    step_id: str
    key: str | None
    """Callbacks with this key find it, besides those that name it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class StoreCallback:
    """Something has come for a step that waits, or will. Gives a `CallbackOutcome`.

    The execution becomes ready where the step waits. With neither execution nor path it goes to the step that has asked
    for its key longest, or is kept until `until` for one that will.
    """

    id: str
    execution_id: str | None
    path: str | None
    flow_id: str
    """The flow that waits."""
    step_id: str
    key: str | None
    digest: bytes
    """Of what it says: an identical one is a repetition."""
    at: datetime
    until: datetime | None
    payload: bytes
    """As `pack_callback` gives it."""
    blob_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeOutWait:
    """A step has waited long enough. Gives `TimedOut`, and then nothing may come any more; or `Called`."""

    id: str
    execution_id: str
    path: str
    flow_id: str
    step_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EndWait:
    """A step waits no more."""

    execution_id: str
    path: str


@dataclass(frozen=True, slots=True)
class ForgetCallbacks:
    """What came for the executions is given up. One that has not ended, or was reopened, keeps it."""

    execution_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetEarlyCallbacks:
    """What came before anybody asked for its key, and was kept until now, is given up, and its files with it."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CallbackStored:
    """The callback is durable, and is this execution's; None where it waits for one that asks for its key."""

    execution_id: str | None


@dataclass(frozen=True, slots=True)
class CallbackRepeated:
    """Another came first; nothing was changed."""

    execution_id: str | None
    identical: bool
    """It said the same."""


@dataclass(frozen=True, slots=True)
class NotWaiting:
    """There is no such execution, it has ended, or the step waits no more."""


@dataclass(frozen=True, slots=True)
class TooManyEarlyCallbacks:
    """As many as may wait for somebody who asks for their keys do."""


@dataclass(frozen=True, slots=True)
class WaitTimedOut:
    """Nothing had come."""


CallbackOutcome: TypeAlias = CallbackStored | CallbackRepeated | NotWaiting | TooManyEarlyCallbacks


@dataclass(frozen=True, slots=True)
class PutCredential:
    """A credential is made or replaced; it has no tokens then."""

    name: str
    type: str
    ciphertext: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class PutTokens:
    """A credential gets access tokens; nothing happens where it isn't there, or was replaced meanwhile."""

    name: str
    put_at: datetime
    """When the credential was put whose tokens they are."""
    ciphertext: bytes | None
    """None: it has none any more."""


@dataclass(frozen=True, slots=True)
class DropCredential:
    """A credential is removed, with its tokens."""

    name: str


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
class RecordSteps:
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
class DismissDeadLetter:
    """A failed execution needs no more care: it is a dead letter no longer, and stays in the history, without its
    seal's key."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SetDataKey:
    """The key of an execution's seal, wrapped; an execution that ends as anything but failed keeps none.

    Nothing happens where the key that it has is another than `was`.
    """

    execution_id: str
    key: bytes
    was: bytes | None = None


@dataclass(frozen=True, slots=True)
class ReleaseOrderKey:
    """A failed execution that holds its order key makes way for the next. Nothing happens where it holds none."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody asks that it ends as cancelled: one that never ran does so at once, one that waits becomes ready."""

    execution_id: str
    at: datetime
    tells: StoreCallback | None = None
    """For the step that waits for its end: committed where it ends at once."""


@dataclass(frozen=True, slots=True)
class ForgetFiles:
    """The executions refer to their files no more. One that has not ended, or was reopened, keeps them."""

    execution_ids: tuple[str, ...]
    at: datetime


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
class StateAdded:
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


@dataclass(frozen=True, slots=True)
class CheckpointItems:
    """Items of a running execution's foreach are done: their progress takes the place of their entries."""

    execution_id: str
    progress: Progress
    results: tuple[tuple[int, bytes], ...] = ()
    """JSON of what the items gave, each with its place."""


@dataclass(frozen=True, slots=True)
class DropEntries:
    """Entries are taken out of the journal: those of items that are done."""

    execution_id: str
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FinishBlock:
    """A foreach has come to its end: its own entry takes the place of its progress, and of its items' results."""

    execution_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Purge:
    """Executions go, with their journals, messages, and references to files.

    One that has not ended, was reopened, or holds its order key stays. Of one whose dedupe key is still taken, only
    that is kept: whoever asks for the execution finds none.
    """

    execution_ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ForgetDedupeKeys:
    """Dedupe keys of purged executions go whose windows are over, as many as one commit may take."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ForgetVersions:
    """Versions of a flow go. One that an execution is bound to which has not ended stays."""

    flow_id: str
    versions: tuple[str, ...]


MAX_REJECTED_KEPT: Final = 100
"""Rejected requests that are kept of a flow."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Requests were rejected. Of each flow the newest `REFUSED_KEPT` stay."""

    requests: tuple[RejectedRequest, ...]


@dataclass(frozen=True, slots=True)
class SetSubscription:
    """What is kept of a flow's subscription is this now; None: nothing."""

    flow_id: str
    value: bytes | None
    """Encrypted."""
    at: datetime


@dataclass(frozen=True, slots=True)
class ReencryptSubscription:
    """It is encrypted anew, where it is still what it was."""

    flow_id: str
    value: bytes
    was: bytes


Change: TypeAlias = (
    Accept
    | Start
    | Resume
    | RecordSteps
    | Park
    | Unblock
    | End
    | Reopen
    | DismissDeadLetter
    | SetDataKey
    | ReleaseOrderKey
    | Publish
    | PutCredential
    | PutTokens
    | DropCredential
    | Reject
    | ForgetFiles
    | Cancel
    | BeginWait
    | StoreCallback
    | TimeOutWait
    | EndWait
    | ForgetCallbacks
    | ForgetEarlyCallbacks
    | JoinBatch
    | CloseBatch
    | TakeBatch
    | CheckpointItems
    | DropEntries
    | FinishBlock
    | SetState
    | AddState
    | SetCursor
    | SetSubscription
    | ReencryptSubscription
    | Rebind
    | OverrideState
    | Purge
    | ForgetDedupeKeys
    | ForgetVersions
)
"""One thing that is to be made durable."""

CommitResult: TypeAlias = (
    Accepted | Duplicate | CallbackOutcome | WaitTimedOut | StateAdded | NotANumber | BatchLed | BatchJoined | None
)
"""What came of a change: None for those that have nothing to say."""
