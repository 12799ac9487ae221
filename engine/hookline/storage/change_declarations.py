"""Changes: everything that a store can be asked to write, each declared once.

The declaration of a change is its class with `@change`: the fields, the thing it is about, the fault point that its
commit passes, and its result. `Change` and `CommitResult` name the same classes for the type checker. A test compares
the declarations with these two, with `hookline.api_storage`, with the fault points and with the contract of stores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Final, Literal, TypeAlias, TypeVar

from hookline.kernel.json import MAX_DIGITS, decode, encode, within_bounds
from hookline.model.access import AuditEntry, RejectedSignIn, Session, SignInCode, Token
from hookline.model.batch import BatchItem, BatchPlace
from hookline.model.deployments_and_drafts import Deployment, Draft, FileKind, FlowFile
from hookline.model.execution import ErrorInfo, Outcome, State, StepRecord
from hookline.model.flow import ServingState
from hookline.model.foreach_progress_and_streams import Progress
from hookline.model.message import Envelope
from hookline.model.rejection import RejectedRequest
from hookline.storage.captures import Capture, CapturedRequest
from hookline.storage.node_problems import NodeProblem
from hookline.storage.statistics import FlowMinute

Subject: TypeAlias = Literal["execution", "flow", "credential", "access", "node"]

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Declaration:
    """The facts about a change that its fields don't tell."""

    subject: Subject
    """The kind of thing that it changes."""
    fault_point: str | None
    """The commit passes `<fault_point>.before_commit` and `<fault_point>.after_commit`."""
    results: tuple[type, ...]
    """The types of its result; empty if `commit` returns None for it."""


DECLARATIONS: Final[dict[type, Declaration]] = {}
"""All changes."""


def change(
    subject: Subject, *, fault_point: str | None = None, results: tuple[type, ...] = ()
) -> Callable[[type[C]], type[C]]:
    """Declare a change."""

    def declared(cls: type[C]) -> type[C]:
        DECLARATIONS[cls] = Declaration(subject, fault_point, results)
        return cls

    return declared


# --- Accepting messages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another execution has used the dedupe key; nothing was written."""

    execution_id: str


@change("execution", fault_point="accept", results=(Accepted, Duplicate))
@dataclass(frozen=True, slots=True)
class Accept:
    """Accept a message: a queued execution, unless its dedupe key was used and the window is still open.

    The execution isn't ready while an earlier one of the flow with the same order key has not ended.
    """

    envelope: Envelope
    begun: bool = False
    """Other changes of the same commit contain its progress, so it isn't delivered as an execution that never ran."""
    patient: bool = False
    """The commit may wait a moment to share a transaction: the sender is over the flow's rate limit anyway."""
    start: "Start | None" = None
    """The execution starts with its acceptance, unless the message is a duplicate. It has no order key, and its id is
    new: it is accepted once, without a repetition after an error."""
    audit: AuditEntry | None = None
    """Added to the audit, unless the message is a duplicate."""
    handed_over: bool = False
    """The message comes from an intake queue: another process may be accepting it at the same moment."""


@change("execution")
@dataclass(frozen=True, slots=True)
class KeepAlias:
    """Keep the id of a message that proved to be a duplicate, as an alias of the execution that has its dedupe key.

    For a message that an intake queue accepted while the store couldn't be asked. Nothing happens if the alias exists,
    or if there is no such execution. Purging the execution removes its aliases.
    """

    alias: str
    execution_id: str
    at: datetime


# --- The life of an execution ----------------------------------------------------------------------------------------


@change("execution", fault_point="start")
@dataclass(frozen=True, slots=True)
class Start:
    """Start an execution (queued, or parked before its first step → running), and bind the version of its flow.

    With `serving`, it is illegal (VersionOutdated) if the flow isn't served by that version. Then another node has
    deployed the flow, and this node hasn't adopted that yet.
    """

    execution_id: str
    flow_version: str
    at: datetime
    vars: bytes | None = None
    """JSON of the flow's vars if they differ from those of its document; the execution keeps them until it ends."""
    deadline: datetime | None = None
    serving: bool = False
    """The version is the one that serves the flow, as far as the node knows."""


@change("execution", fault_point="resume")
@dataclass(frozen=True, slots=True)
class Resume:
    """Resume an execution (waiting → running). Nothing happens to one that ran when the process died."""

    execution_id: str
    at: datetime
    flow_version: str | None = None
    """The bound version, if there is one: the change is illegal if the execution was moved to another version."""
    deadline: datetime | None = None
    """The end of its time limit, if that begins only now."""


@change("execution", fault_point="park")
@dataclass(frozen=True, slots=True)
class Park:
    """Park an execution (queued or running → waiting) until `ready_at`, or if that is None, until it is unblocked.

    It is ready at once if its callback has come meanwhile, or if it is to be cancelled.
    """

    execution_id: str
    at: datetime
    ready_at: datetime | None
    reason: str
    cancelling: bool = False
    """It is interrupted already, and its last steps wait, so a request to cancel doesn't make it ready."""
    unloaded: bool = False
    """It couldn't be loaded, so a callback that has come doesn't make it ready: it would be parked again at once."""


@change("execution")
@dataclass(frozen=True, slots=True)
class MoveWaits:
    """Move the times for which executions wait, because the clock was set: when they are due, and their timeouts.

    A step with the signal `UNTIL` waits for a time that its flow names, which doesn't move. If the last move had the
    same id, nothing changes: a caller that doesn't know whether its commit has taken place repeats it.
    """

    id: str
    by: timedelta


@change("flow", fault_point="unblock")
@dataclass(frozen=True, slots=True)
class Unblock:
    """Make all executions of the flow ready whose reason is `BLOCKED`.

    A blocked execution also has a time if part of it waits for a retry.
    """

    flow_id: str
    at: datetime


@change("execution", fault_point="end")
@dataclass(frozen=True, slots=True)
class End:
    """End an execution as succeeded, failed or cancelled, from the states that `TRANSITIONS` allows.

    The next execution with its order key becomes ready, unless this one failed and holds the key (`order_holds`). Its
    data key is erased, unless it failed.
    """

    execution_id: str
    state: State
    outcome: Outcome
    at: datetime
    error: ErrorInfo | None = None
    waited: bool = True
    """Any of its steps may have waited for a callback."""
    ordered: bool = True
    """It may have an order key."""
    patient: bool = False
    """The commit may wait a moment to share a transaction: nobody waits for this end."""


@change("execution", fault_point="cancel")
@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask an execution to end as cancelled: one that never ran does so at once, a waiting one becomes ready."""

    execution_id: str
    at: datetime
    tells: "StoreCallback | None" = None
    """The callback for the step that waits for its end: committed if it ends at once."""


@change("execution", fault_point="reopen")
@dataclass(frozen=True, slots=True)
class Reopen:
    """Reopen an execution (failed → waiting), ready at once, and count its attempt. Succeeded steps stay so.

    If it had released its order key, it goes behind the executions that have the key now. Its time limit begins anew
    when it resumes.
    """

    execution_id: str
    at: datetime


@change("execution", fault_point="rebind")
@dataclass(frozen=True, slots=True)
class Rebind:
    """Bind a waiting execution to another version of its flow, and make it ready at once, to check its wait again.

    It isn't ready if another execution with its order key goes first. Illegal if it doesn't wait, never ran, is to be
    cancelled, or has run since its journal ended with `last_seq`.
    """

    execution_id: str
    flow_version: str
    at: datetime
    last_seq: int
    vars: bytes | None = None
    """JSON of its vars from now on, if they differ from those of that version's document."""


@change("execution", fault_point="dismiss_dead_letter")
@dataclass(frozen=True, slots=True)
class DismissDeadLetter:
    """Discard a dead letter: the failed execution stays in the history, without its data key."""

    execution_id: str
    at: datetime


@change("execution", fault_point="release_order_key")
@dataclass(frozen=True, slots=True)
class ReleaseOrderKey:
    """Let the next execution run although a failed one holds their order key. Nothing happens if it holds none."""

    execution_id: str
    at: datetime


@change("execution")
@dataclass(frozen=True, slots=True)
class SetDataKey:
    """Store the encrypted data key of an execution; an execution that ends as anything but failed keeps none.

    Nothing happens if its present key isn't `was`.
    """

    execution_id: str
    key: bytes
    was: bytes | None = None


# --- The journal, and items that are checkpointed together -----------------------------------------------------------


@change("execution", fault_point="record")
@dataclass(frozen=True, slots=True)
class RecordSteps:
    """Add entries to the journal of a running execution."""

    execution_id: str
    steps: tuple[StepRecord, ...]


@change("execution")
@dataclass(frozen=True, slots=True)
class MarkDelivered:
    """Replace the output of a reply's entry, because a node that didn't run the execution has given a caller the reply.

    Nothing happens if the entry has another output by now, or is gone.
    """

    execution_id: str
    seq: int
    before: bytes
    output: bytes


@change("execution", fault_point="checkpoint_items")
@dataclass(frozen=True, slots=True)
class CheckpointItems:
    """Store the progress of a running execution's foreach, which replaces the entries of its finished items."""

    execution_id: str
    progress: Progress
    results: tuple[tuple[int, bytes], ...] = ()
    """Runs of results, which don't overlap: the first item, and the JSON of the results, a line for each. A run that is
    stored already stays as it is: it comes again if it wasn't known whether its commit took place."""


@change("execution", fault_point="checkpoint_items")
@dataclass(frozen=True, slots=True)
class DropEntries:
    """Remove the entries of finished items from the journal."""

    execution_id: str
    seqs: tuple[int, ...]


@change("execution", fault_point="finish_block")
@dataclass(frozen=True, slots=True)
class FinishBlock:
    """End a foreach: its own entry replaces its progress and its items' results."""

    execution_id: str
    path: str


# --- Callbacks -------------------------------------------------------------------------------------------------------

MAX_EARLY_CALLBACKS: Final = 1000
"""The most callbacks that are kept for a step before any execution waits with their keys."""


@dataclass(frozen=True, slots=True)
class CallbackStored:
    """The callback is durable."""

    execution_id: str | None
    """The execution that it belongs to; None while it waits for one with its key."""


@dataclass(frozen=True, slots=True)
class CallbackRepeated:
    """Another callback came first; nothing was written."""

    execution_id: str | None
    identical: bool
    """The first had the same digest."""


@dataclass(frozen=True, slots=True)
class NotWaiting:
    """There is no such execution, it has ended, or the step doesn't wait any more."""


@dataclass(frozen=True, slots=True)
class TooManyEarlyCallbacks:
    """`MAX_EARLY_CALLBACKS` of the step are kept already."""


@dataclass(frozen=True, slots=True)
class WaitTimedOut:
    """No callback had come, and none will be accepted."""


CallbackOutcome: TypeAlias = CallbackStored | CallbackRepeated | NotWaiting | TooManyEarlyCallbacks


@change("execution", fault_point="begin_wait")
@dataclass(frozen=True, slots=True)
class BeginWait:
    """Let a step of a running execution wait for a callback; one that was kept for its key becomes its own."""

    execution_id: str
    path: str
    flow_id: str
    step_id: str
    key: str | None
    """Callbacks with this key find the step, besides those that name it."""
    at: datetime
    late_at: datetime | None = None
    """The time from which it has waited too long; None if it never has."""
    page: bytes | None = None
    """The page that a person sees at the step's URL."""


@change(
    "execution",
    fault_point="callback",
    results=(CallbackStored, CallbackRepeated, NotWaiting, TooManyEarlyCallbacks),
)
@dataclass(frozen=True, slots=True)
class StoreCallback:
    """Store a callback for a step that waits, or will wait. The execution becomes ready if the step waits.

    Without an execution and a path, it goes to the step that has waited longest with its key, or is kept until `until`
    for a step that will.
    """

    id: str
    execution_id: str | None
    path: str | None
    flow_id: str
    """The waiting flow."""
    step_id: str
    key: str | None
    digest: bytes
    """Digest of its content: an equal one is a repetition."""
    at: datetime
    until: datetime | None
    payload: bytes
    """The result of `pack_callback`."""
    blob_ids: tuple[str, ...] = ()
    audit: AuditEntry | None = None
    """Added to the audit if the callback is stored."""


@change("execution", fault_point="callback", results=(WaitTimedOut, CallbackStored))
@dataclass(frozen=True, slots=True)
class TimeOutWait:
    """End the wait of a step whose time is over, unless a callback has come meanwhile."""

    id: str
    execution_id: str
    path: str
    flow_id: str
    step_id: str
    at: datetime


@change("execution")
@dataclass(frozen=True, slots=True)
class ReencryptCallback:
    """Replace the packed callback with this id if it is still `was`."""

    id: str
    payload: bytes
    was: bytes


@change("execution", fault_point="end_wait")
@dataclass(frozen=True, slots=True)
class EndWait:
    """The step doesn't wait any more."""

    execution_id: str
    path: str


@change("execution")
@dataclass(frozen=True, slots=True)
class ForgetCallbacks:
    """Remove the callbacks of ended executions.

    An execution that has not ended, was reopened, or is a dead letter keeps its own.
    """

    execution_ids: tuple[str, ...]


@change("flow")
@dataclass(frozen=True, slots=True)
class ForgetEarlyCallbacks:
    """Remove early callbacks that were kept until `at`, with their files."""

    at: datetime


# --- Batches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchLed:
    """The execution is the first of a batch."""

    closed: str | None = None
    """The leader of the batch that was closed for it, and is ready now."""


@dataclass(frozen=True, slots=True)
class BatchJoined:
    """The execution is part of the batch of another."""

    leader_id: str
    place: int
    """The place of its message in the batch, from 1 for the leader's."""
    full: bool = False
    """It filled the batch, and the leader is ready now."""


@change("execution", fault_point="join", results=(BatchLed, BatchJoined))
@dataclass(frozen=True, slots=True)
class JoinBatch:
    """Let a running execution join the open batch of the flow, its version, the path of the step and the key.

    If that batch is over at `at`, or would become larger than `MAX_BATCH_BYTES`, it is closed and this execution leads
    a new one. A batch that this execution fills is closed. The leader of a closed batch becomes ready.

    The step's entry is written with it. Illegal if the execution doesn't run, or has the entry already.
    """

    step: StepRecord
    """The entry of a leader: waiting, until `due_at` if the time is limited. For an execution that joins another's
    batch, it is stored as succeeded, with signal `JOINED` and `joined_output`."""
    flow_id: str
    flow_version: str
    key: str
    size: int
    """The number of messages of a full batch."""
    gathered: BatchItem
    at: datetime

    @property
    def execution_id(self) -> str:
        return self.gathered.execution_id


@change("execution", fault_point="close")
@dataclass(frozen=True, slots=True)
class CloseBatch:
    """Let no more executions join the batch of a leader; nothing happens if it is closed."""

    execution_id: str
    path: str


@change("execution", fault_point="take")
@dataclass(frozen=True, slots=True)
class TakeBatch:
    """Remove a batch that its leader has in its journal."""

    execution_id: str
    path: str


@change("execution")
@dataclass(frozen=True, slots=True)
class ReencryptBatchItem:
    """Replace the body of a batch's item if it is still `was`."""

    at: BatchPlace
    body: bytes
    was: bytes


# --- Flows: versions, states, stored values --------------------------------------------------------------------------


@change("flow", fault_point="publish")
@dataclass(frozen=True, slots=True)
class Publish:
    """Keep a version of a flow, for the executions bound to it, and note that it serves from now on.

    A known version gets the document, which may have another title; the one that serves keeps the time since which it
    serves.
    """

    flow_id: str
    version: str
    document: bytes
    at: datetime


@change("flow", fault_point="override")
@dataclass(frozen=True, slots=True)
class OverrideState:
    """Store an operator's decision on a flow's state, which overrides the state in the flow's file."""

    flow_id: str
    state: ServingState | None
    """None: the state in the file holds."""
    file_state: ServingState
    """The state in the file now; once that changes, the override ends."""
    at: datetime


@dataclass(frozen=True, slots=True)
class StateAdded:
    """The value was increased."""

    value: bytes
    """JSON of the new number: exact, whatever numbers the flow has."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """The stored value is not a number that can be increased; nothing was written, and there is no entry."""


@change("flow", fault_point="state")
@dataclass(frozen=True, slots=True)
class SetState:
    """Store a flow's value under a key; None removes it."""

    flow_id: str
    key: str
    value: bytes | None
    """JSON."""
    at: datetime


@change("flow", fault_point="state", results=(StateAdded, NotANumber))
@dataclass(frozen=True, slots=True)
class AddState:
    """Increase a flow's value under a key, which is 0 if there is none, and write the entry of the step that does it.

    The entry's output is an object whose `body` is the new value. If the stored value isn't a number, nothing is
    written, and no other value either. Illegal if the execution doesn't run, or has the entry already.
    """

    execution_id: str
    step: StepRecord
    """Its output is None, or JSON of an object without a body."""
    flow_id: str
    key: str
    by: bytes
    """JSON of a number."""
    at: datetime
    others: tuple[tuple[str, bytes | None], ...] = ()
    """The flow's other values to store, by key; None removes a value."""


def counted_value(known: bytes | None, by: bytes) -> bytes | None:
    """Return the JSON of the exact sum of two numbers in JSON; None if one isn't a number, or the sum is out of bounds.

    `known`: None stands for 0.
    """
    if known is not None and len(known) > 4 * MAX_DIGITS:
        return None
    numbers = [0 if known is None else decode(known, exact=True), decode(by, exact=True)]
    if not all(type(number) in (int, Decimal) for number in numbers):
        return None
    with localcontext(Context(prec=4 * MAX_DIGITS)):
        total = numbers[0] + numbers[1]
        return encode(total) if within_bounds(Decimal(total)) else None


def counted_output(value: bytes, beside: bytes | None) -> bytes:
    """Add the JSON of the new value as `body` to the output of the step that has counted."""
    rest = b"}" if beside is None or beside == b"{}" else b"," + beside[1:]
    return b'{"body":' + value + rest


@change("flow", fault_point="cursor")
@dataclass(frozen=True, slots=True)
class SetCursor:
    """Store the cursor of a flow's trigger."""

    flow_id: str
    value: bytes
    """JSON."""
    at: datetime


@change("flow", fault_point="cursor")
@dataclass(frozen=True, slots=True)
class TakeDedupeKeys:
    """Take dedupe keys without a message: until the window is over, a message with one of them is a duplicate.

    A key whose window is still open stays with the execution that has it.
    """

    flow_id: str
    keys: tuple[tuple[str, str], ...]
    """For each key an id that no execution has, and the key."""
    at: datetime
    until: datetime


@change("flow", fault_point="subscription")
@dataclass(frozen=True, slots=True)
class SetSubscription:
    """Store a flow's subscription; None removes it."""

    flow_id: str
    value: bytes | None
    """Encrypted."""
    at: datetime


@change("flow", fault_point="subscription")
@dataclass(frozen=True, slots=True)
class ReencryptSubscription:
    """Replace the encrypted subscription if it is still `was`."""

    flow_id: str
    value: bytes
    was: bytes


# --- Credentials -----------------------------------------------------------------------------------------------------


@change("credential", fault_point="credential")
@dataclass(frozen=True, slots=True)
class PutCredential:
    """Create or replace a credential. It keeps its tokens only if the one that it replaces was put at the same time."""

    name: str
    type: str
    ciphertext: bytes
    at: datetime
    flows: tuple[str, ...] = ()
    """Patterns of the ids of the flows that may use it; none for all."""
    hosts: tuple[str, ...] = ()
    """The hosts to which it may be sent, besides those that its type names."""


@change("credential", fault_point="credential")
@dataclass(frozen=True, slots=True)
class PutTokens:
    """Store the access tokens of a credential.

    Nothing happens if the credential was removed or replaced meanwhile, or if its tokens aren't those of `before`.
    """

    name: str
    put_at: datetime
    """The time at which the credential of these tokens was put."""
    ciphertext: bytes | None
    """None removes the tokens."""
    before: tuple[bytes | None] | None = None
    """The tokens that are replaced; None for any."""


@change("credential", fault_point="credential")
@dataclass(frozen=True, slots=True)
class DropCredential:
    """Remove a credential and its tokens."""

    name: str


# --- Administration: deployments, tokens, sessions, audit ------------------------------------------------------------


@change("flow", fault_point="deploy")
@dataclass(frozen=True, slots=True)
class Deploy:
    """Change the set of flows that are served, and keep the deployment.

    Illegal (DeploymentConflict) if one of its flows isn't served by the version that the deployment names as the one
    before. The versions are published in the same commit.
    """

    deployment: Deployment


@change("flow", fault_point="deploy")
@dataclass(frozen=True, slots=True)
class WriteFiles:
    """Keep the texts of files until they are written to the folder of the flows: see `FilesWritten`.

    A newer text of the same file replaces an older one.
    """

    files: tuple[FlowFile, ...]
    at: datetime


@change("flow", fault_point="files_written")
@dataclass(frozen=True, slots=True)
class FilesWritten:
    """Drop the kept texts of files, because they are in the folder, or no longer belong there."""

    files: tuple[tuple[str, FileKind], ...]
    """Flow ids and kinds."""


@change("flow", fault_point="deploy")
@dataclass(frozen=True, slots=True)
class SetCases:
    """Keep the test cases of a flow that is served from the database, or was deleted; None removes them."""

    flow_id: str
    text: bytes | None
    at: datetime


@change("flow")
@dataclass(frozen=True, slots=True)
class PutDraft:
    """Keep a draft of a flow. Illegal if the draft isn't the expected one, or if there are too many."""

    draft: Draft
    replaces: str | None
    """The version of the draft that it replaces; None if there is none."""


@change("flow")
@dataclass(frozen=True, slots=True)
class DropDraft:
    """Remove the draft of a flow. Illegal if it has another version."""

    flow_id: str
    version: str


@change("flow")
@dataclass(frozen=True, slots=True)
class OpenCapture:
    """Open a capture, or keep one that is open for longer. Illegal if there are too many."""

    capture: Capture


@change("flow")
@dataclass(frozen=True, slots=True)
class CloseCapture:
    """Close a capture, whose requests are kept. Nothing happens if it isn't open."""

    flow_id: str
    at: datetime


@change("flow")
@dataclass(frozen=True, slots=True)
class DropCapture:
    """Remove a capture and its requests. Nothing happens if there is none."""

    flow_id: str


@change("flow")
@dataclass(frozen=True, slots=True)
class KeepCaptured:
    """Keep captured requests, and remove all but the newest of each capture; those of no capture are dropped."""

    requests: tuple[CapturedRequest, ...]


@change("flow")
@dataclass(frozen=True, slots=True)
class ForgetCaptured:
    """Remove requests from before a time, and captures that were closed before it; as many as one commit may take."""

    before: datetime


@change("access", fault_point="token")
@dataclass(frozen=True, slots=True)
class CreateToken:
    """Store a token. Illegal if a token that isn't revoked has its name."""

    token: Token
    digest: bytes
    """SHA-256 of its secret."""


@change("node")
@dataclass(frozen=True, slots=True)
class DrainNode:
    """Ask a node to stop. Nothing happens if it is gone."""

    lease: str
    at: datetime


@change("access", fault_point="token")
@dataclass(frozen=True, slots=True)
class RevokeToken:
    """Revoke a token. Illegal if there is none with this id, or it was revoked already."""

    id: str
    at: datetime


@change("access")
@dataclass(frozen=True, slots=True)
class CreateSession:
    """Store a session."""

    session: Session


@change("access")
@dataclass(frozen=True, slots=True)
class EndSession:
    """Remove a session. Nothing happens if there is none."""

    digest: bytes


@change("access")
@dataclass(frozen=True, slots=True)
class CreateSignInCode:
    """Store a sign-in code."""

    code: SignInCode


@change("access")
@dataclass(frozen=True, slots=True)
class UseSignInCode:
    """Remove a sign-in code. Illegal if there is none, so that each code is used once, on one node."""

    digest: bytes


@change("access")
@dataclass(frozen=True, slots=True)
class ForgetSessions:
    """Remove sessions and sign-in codes that have expired, as many as one commit may take."""

    at: datetime


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """The keys that encrypt what is stored, by their ids."""

    first: str
    """The key that encrypts; the others only decrypt."""
    known: tuple[str, ...]
    """All keys that were ever in use."""
    missing: tuple[str, ...] = ()
    """Keys in use that the node doesn't have. If there are any, nothing was written."""
    without: tuple[str, ...] = ()
    """The names of the nodes because of which the first key of this node isn't the first key of the database."""


@change("node", results=(KeysInUse,))
@dataclass(frozen=True, slots=True)
class UseKeys:
    """Note which keys this node has. The first node of a database says which are in use.

    The first of these keys becomes the first key of the database when all live nodes have it. If it was in use before,
    it must also be the first key of each of them.
    """

    ids: tuple[str, ...]
    at: datetime


@change("node")
@dataclass(frozen=True, slots=True)
class RetireKeys:
    """Note that only these keys are needed. If the first key of the database isn't one of them, the first of these
    replaces it."""

    keep: tuple[str, ...]
    at: datetime


@change("access")
@dataclass(frozen=True, slots=True)
class SetAdminToken:
    """Keep the SHA-256 of the server's own token. All nodes that have no token themselves accept it."""

    digest: bytes
    first: bool = False
    """Nothing happens if there is one already."""


@change("access")
@dataclass(frozen=True, slots=True)
class RecordAudit:
    """Add entries to the audit, in the commit of the operations that they record."""

    entries: tuple[AuditEntry, ...]


@change("access")
@dataclass(frozen=True, slots=True)
class ForgetAudit:
    """Remove the oldest audit entries from before a time, as many as one commit may take."""

    before: datetime


MAX_SIGN_INS_KEPT: Final = 1000
"""The number of rejected sign-ins that are kept."""


@change("access")
@dataclass(frozen=True, slots=True)
class RejectSignIns:
    """Store rejected sign-ins. The newest `MAX_SIGN_INS_KEPT` stay."""

    sign_ins: tuple[RejectedSignIn, ...]


# --- Rejected requests -----------------------------------------------------------------------------------------------

MAX_REJECTED_KEPT: Final = 100
"""The number of rejected requests that are kept of each flow."""


@change("flow")
@dataclass(frozen=True, slots=True)
class Reject:
    """Store rejected requests. The newest `MAX_REJECTED_KEPT` of each flow stay."""

    requests: tuple[RejectedRequest, ...]


# --- Statistics ------------------------------------------------------------------------------------------------------


@change("flow")
@dataclass(frozen=True, slots=True)
class PutStatistics:
    """Store the numbers that a node has counted so far; they replace those that it stored for the same minutes."""

    node: str
    """A name that no other process has, or had."""
    minutes: tuple[FlowMinute, ...]


@change("flow")
@dataclass(frozen=True, slots=True)
class RollUpStatistics:
    """Add the oldest minutes to their hours, and remove the oldest hours, as many as one commit may take."""

    minutes_before: datetime
    hours_before: datetime


@change("node")
@dataclass(frozen=True, slots=True)
class ReportProblems:
    """Store the problems that a node has now, instead of those that it had; remove what was reported long ago."""

    node: str
    """A name that no other process has, or had."""
    problems: tuple[NodeProblem, ...]
    at: datetime
    forget_before: datetime
    """Reports of any node from before this time are removed."""


# --- Retention -------------------------------------------------------------------------------------------------------


@change("execution")
@dataclass(frozen=True, slots=True)
class ForgetFiles:
    """Remove the references of ended executions to their files.

    An execution that has not ended, was reopened, or is a dead letter keeps them.
    """

    execution_ids: tuple[str, ...]
    at: datetime


@change("execution")
@dataclass(frozen=True, slots=True)
class UseFiles:
    """Let another execution of the same commit use an execution's files. Illegal if they were removed meanwhile.

    What removes files asks for their references after the commit that has removed the execution or its own, so one of
    the two sees the other.
    """

    execution_id: str


@change("execution", fault_point="purge")
@dataclass(frozen=True, slots=True)
class Purge:
    """Remove executions with their journals, messages and references to files.

    An execution that has not ended, was reopened, is a dead letter, or holds its order key stays. If the window of its
    dedupe key is still open, the key stays.
    """

    execution_ids: tuple[str, ...]
    at: datetime


@change("flow", fault_point="purge")
@dataclass(frozen=True, slots=True)
class ForgetDedupeKeys:
    """Remove dedupe keys whose windows are over, as many as one commit may take."""

    at: datetime


@change("flow", fault_point="purge")
@dataclass(frozen=True, slots=True)
class ForgetVersions:
    """Remove versions of a flow. One to which a dead letter, or an execution that has not ended, is bound stays."""

    flow_id: str
    versions: tuple[str, ...]


Change: TypeAlias = (
    Accept
    | KeepAlias
    | MarkDelivered
    | Start
    | Resume
    | Park
    | MoveWaits
    | Unblock
    | End
    | Cancel
    | Reopen
    | Rebind
    | DismissDeadLetter
    | ReleaseOrderKey
    | SetDataKey
    | RecordSteps
    | CheckpointItems
    | DropEntries
    | FinishBlock
    | BeginWait
    | StoreCallback
    | TimeOutWait
    | ReencryptCallback
    | EndWait
    | ForgetCallbacks
    | ForgetEarlyCallbacks
    | JoinBatch
    | CloseBatch
    | TakeBatch
    | ReencryptBatchItem
    | Publish
    | OverrideState
    | SetState
    | AddState
    | SetCursor
    | TakeDedupeKeys
    | SetSubscription
    | ReencryptSubscription
    | PutCredential
    | PutTokens
    | DropCredential
    | Deploy
    | WriteFiles
    | FilesWritten
    | SetCases
    | PutDraft
    | DropDraft
    | OpenCapture
    | CloseCapture
    | DropCapture
    | KeepCaptured
    | ForgetCaptured
    | CreateToken
    | DrainNode
    | RevokeToken
    | CreateSession
    | EndSession
    | CreateSignInCode
    | UseSignInCode
    | ForgetSessions
    | UseKeys
    | RetireKeys
    | SetAdminToken
    | RecordAudit
    | ForgetAudit
    | RejectSignIns
    | Reject
    | PutStatistics
    | RollUpStatistics
    | ReportProblems
    | ForgetFiles
    | UseFiles
    | Purge
    | ForgetDedupeKeys
    | ForgetVersions
)

CommitResult: TypeAlias = (
    Accepted
    | Duplicate
    | CallbackOutcome
    | WaitTimedOut
    | BatchLed
    | BatchJoined
    | StateAdded
    | NotANumber
    | KeysInUse
    | None
)
"""The result of a change: None for a change without results."""
