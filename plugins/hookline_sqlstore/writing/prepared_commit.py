"""A commit: its changes, as rows of statements.

The caller makes them, so that values that can't be stored fail there, before anything is written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

import msgspec

from hookline.api_storage import (
    STREAM,
    Accept,
    AddState,
    Attachment,
    AuditEntry,
    BeginWait,
    Cancel,
    Change,
    CheckpointItems,
    CloseBatch,
    CloseCapture,
    CommitResult,
    CreateSession,
    CreateSignInCode,
    CreateToken,
    Deploy,
    DismissDeadLetter,
    DrainNode,
    DropCapture,
    DropCredential,
    DropDraft,
    DropEntries,
    End,
    EndSession,
    EndWait,
    Envelope,
    FilesWritten,
    FinishBlock,
    ForgetAudit,
    ForgetCallbacks,
    ForgetCaptured,
    ForgetDedupeKeys,
    ForgetEarlyCallbacks,
    ForgetFiles,
    ForgetSessions,
    ForgetVersions,
    JoinBatch,
    KeepAlias,
    KeepCaptured,
    MarkDelivered,
    MoveWaits,
    OpenCapture,
    OverrideState,
    Park,
    Publish,
    Purge,
    PutCredential,
    PutDraft,
    PutStatistics,
    PutTokens,
    Rebind,
    RecordAudit,
    RecordSteps,
    ReencryptBatchItem,
    ReencryptCallback,
    ReencryptSubscription,
    Reject,
    RejectedRequest,
    RejectSignIns,
    ReleaseOrderKey,
    Reopen,
    ReportProblems,
    Resume,
    RetireKeys,
    RevokeToken,
    RollUpStatistics,
    SetAdminToken,
    SetCases,
    SetCursor,
    SetDataKey,
    SetState,
    SetSubscription,
    Start,
    State,
    StepRecord,
    StoreCallback,
    TakeBatch,
    TakeDedupeKeys,
    TimeOutWait,
    Unblock,
    UseFiles,
    UseKeys,
    UseSignInCode,
    WriteFiles,
    cause_of,
    pack,
    search_terms,
)
from hookline_sqlstore.column_values import key_hash, micros, storable
from hookline_sqlstore.dialect import Row, Statement
from hookline_sqlstore.writing import statements, statistics
from hookline_sqlstore.writing.accepting import ACCEPT
from hookline_sqlstore.writing.access import entry_row
from hookline_sqlstore.writing.batch_joining import JoinRow
from hookline_sqlstore.writing.callbacks import CallbackRow, ClaimRow, EndRow, TimeoutRow
from hookline_sqlstore.writing.flow_state_counters import CountRow

INLINE: Final = 16 * 1024
"""The most bytes of a payload that is stored in its execution's row and read ahead with a delivery.

Larger payloads are stored apart: the whole row is written again at each change of its state, and deliveries that are
read ahead must stay small.
"""


class Operation(NamedTuple):
    """One row for one statement."""

    statement: Statement
    key: str
    """The id of its subject: operations with the same key keep their order. If it is empty, the operation is about
    everything.
    """
    row: Any
    """Values of a row, or the argument of a procedure."""
    change: int
    """The index of its change in the commit."""


class AcceptedMessage(NamedTuple):
    """A message that a commit accepts."""

    change: int
    """The index of its `Accept` in the commit."""
    envelope: Envelope
    size: int
    """The bytes of its payload."""
    operation: int
    """The index of the operation that queues it."""
    claimed: bool = False
    """This node has claimed it."""


Claims: TypeAlias = Callable[[Envelope], bool]
"""Tells whether this node claims a message that is being accepted, and counts it if so."""


def no_claims(_envelope: Envelope) -> bool:
    """Claim no message: any node may run it."""
    return False


@dataclass(eq=False, slots=True)
class Commit:
    """The changes that one caller commits, and their results."""

    operations: list[Operation]
    results: list[CommitResult]
    accepts: list[AcceptedMessage] = field(default_factory=list)
    """The messages that are queued."""
    tags: dict[str, list[Row]] = field(default_factory=dict)
    """The tags of messages that it accepts, by the message's id: that id, the tag's name and its value."""
    started: list[tuple[int, Envelope]] = field(default_factory=list)
    """The index and the message of each `Accept` that also starts its execution."""
    unblocked: list[str] = field(default_factory=list)
    """Ids of flows whose executions have become ready."""
    patient: bool = False
    """It may wait a moment to share a transaction."""
    concerns_all: bool = False
    """Other nodes may have to act."""
    handed_over: set[str] = field(default_factory=set)
    """The ids of messages from an intake queue, which another node may be accepting at the same moment."""


class _Kept(msgspec.Struct):
    """The part of a result that names its blobs."""

    attachments: tuple[Attachment, ...] = ()


class _KeptStream(msgspec.Struct):
    stream: str


class _KeptItems(msgspec.Struct):
    """The part of a result that names the blob of its items."""

    body: _KeptStream
    attachments: tuple[Attachment, ...] = ()


_kept = msgspec.json.Decoder(_Kept)
_kept_items = msgspec.json.Decoder(_KeptItems)
_error = msgspec.json.Encoder()
_ranges = msgspec.json.Encoder()


_ADOPTED: Final = (
    Deploy
    | OverrideState
    | PutCredential
    | PutTokens
    | DropCredential
    | SetAdminToken
    | OpenCapture
    | CloseCapture
    | DropCapture
)
"""The changes that each node has to adopt."""


def prepare_commit(changes: Sequence[Change], claims: Claims = no_claims) -> Commit:
    """Make the operations of a commit.

    `claims` tells whether this node claims a message that is accepted. Raises ValueError or TypeError for values that
    can't be stored.
    """
    made = Commit([], [None] * len(changes))
    for place, change in enumerate(changes):
        if isinstance(change, PutStatistics) or (isinstance(change, Accept | End) and change.patient):
            made.patient = True
        if isinstance(change, Accept):
            _add_accept(made, change, place)
            continue
        if isinstance(change, Unblock):
            made.unblocked.append(change.flow_id)
        made.operations.extend(_operations(change, place))
        if isinstance(change, Cancel | DrainNode | _ADOPTED):
            made.concerns_all = True
        if isinstance(change, _ADOPTED):
            made.operations.append(Operation(statements.CHANGED, "cluster", (1,), place))
    for place, change in enumerate(changes):
        if isinstance(change, Accept) and change.begun:
            # The changes that made it ready don't check its order key.
            id_ = change.envelope.execution_id
            made.operations.append(Operation(statements.HOLD, id_, (id_,), place))
    _claim(made, claims)
    return made


def _add_accept(made: Commit, accept: Accept, place: int) -> None:
    envelope = accept.envelope
    row = _accept_row(accept)
    queued_at = len(made.operations)
    made.operations.extend(_accept(envelope, accept.audit, row, place))
    if accept.handed_over:
        made.handed_over.add(envelope.execution_id)
    if terms := search_terms(envelope):
        id_ = envelope.execution_id
        made.tags[id_] = [(id_, name, storable(value)) for name, value in terms.items()]
    if accept.begun:
        made.unblocked.append(envelope.flow_id)
    elif accept.start is not None:
        made.started.append((place, envelope))
    else:
        made.accepts.append(AcceptedMessage(place, envelope, len(row[-1]), queued_at))


def _claim(made: Commit, claims: Claims) -> None:
    """Claim the messages that this node may run. A claim is counted, so nothing that may fail comes after it."""
    for number, accepted in enumerate(made.accepts):
        if claims(accepted.envelope):
            made.accepts[number] = accepted._replace(claimed=True)
            *others, _, payload = made.operations[accepted.operation].row
            made.operations[accepted.operation] = Operation(
                ACCEPT, accepted.envelope.execution_id, (*others, True, payload), accepted.change
            )


def ping(at: int) -> Commit:
    """Make a commit that writes, but changes no data."""
    return Commit([Operation(statements.PING, "ping", (1, at), 0)], [None])


def _accept_row(accept: Accept) -> Row:
    envelope, start = accept.envelope, accept.start
    key, order_key = envelope.dedupe_key, envelope.order_key
    started: Row = (None, None, None, None, False)
    if start is not None:
        started = (start.flow_version, start.vars, micros(start.at), micros(start.deadline), start.serving)
    return (
        envelope.execution_id,
        envelope.flow_id,
        micros(envelope.accepted_at),
        None if key is None else key.encode(),
        None if key is None else key_hash(key),
        micros(envelope.dedupe_until),
        None if order_key is None else order_key.encode(),
        None,  # its place in the queue of its order key, which the database gives
        envelope.order_holds,
        envelope.data_key,
        *started,
        start is not None,  # claimed, as what has started here
        pack(envelope),
    )


def _accept(envelope: Envelope, audit: AuditEntry | None, row: Row, place: int) -> Iterator[Operation]:
    key, payload = envelope.execution_id, row[-1]
    if len(payload) <= INLINE:
        yield Operation(ACCEPT, key, row, place)
    else:
        yield Operation(ACCEPT, key, (*row[:-1], None), place)
        yield Operation(statements.KEEP_PAYLOAD, key, (key, payload), place)
    if envelope.order_key is not None:
        yield Operation(statements.HOLD, key, (key,), place)
    for attachment in envelope.message.attachments:
        yield Operation(statements.REFER, key, (key, attachment.id), place)
    if audit is not None:
        yield Operation(statements.AUDIT_ACCEPTED, key, (key, *entry_row(audit).values()), place)
    if envelope.arrival.replay_of is not None:
        yield Operation(statements.REPLAYS, key, (key, envelope.arrival.replay_of), place)


def _operations(change: Change, place: int) -> Iterator[Operation]:
    match change:
        case MarkDelivered(key, seq, before, output):
            yield Operation(statements.MARK_DELIVERED, key, (key, seq, before, output), place)
        case KeepAlias(alias, key, at):
            yield Operation(statements.KEEP_ALIAS, alias, (alias, key, micros(at)), place)
        case Start(key, version, at, own, deadline, serving):
            begun = (key, version, own, micros(at), micros(deadline), serving)
            yield Operation(statements.START, key, begun, place)
        case Resume(key, _, version, deadline):
            yield Operation(statements.RESUME, key, (key, version, micros(deadline)), place)
        case Rebind(key, version, at, last_seq, own):
            yield Operation(statements.REBIND, key, (key, version, micros(at), last_seq, own), place)
        case RecordSteps(key, steps):
            for step in steps:
                yield Operation(statements.RECORD, key, _record_row(key, step), place)
            for step in steps:
                for blob_id in _blobs(key, step):
                    yield Operation(statements.REFER, key, (key, blob_id), place)
        case CheckpointItems(key, progress, results):
            ranges = _ranges.encode(progress.done)
            got = (key, progress.path, progress.total, ranges, progress.failed, micros(progress.at))
            yield Operation(statements.CHECKPOINT_ITEMS, key, got, place)
            for at_place, result in results:
                yield Operation(statements.KEEP_RESULT, key, (key, progress.path, at_place, result), place)
        case DropEntries(key, seqs):
            for seq in seqs:
                yield Operation(statements.DROP_ENTRIES, key, (key, seq), place)
        case FinishBlock(key, path):
            yield Operation(statements.FINISH_BLOCK, key, (key, path), place)
            yield Operation(statements.DROP_RESULTS, key, (key, path), place)
        case Park(key, at, ready_at, reason, cancelling, unloaded):
            parked = (key, micros(at), micros(ready_at), storable(reason), int(cancelling), int(unloaded))
            yield Operation(statements.PARK, key, parked, place)
        case BeginWait(key, path, flow_id, step_id, sought, at, late_at, page):
            hashed = None if sought is None else key_hash(sought)
            yield Operation(statements.FORGET_TIMEOUT, key, (key, path), place)
            begun_wait = (key, path, flow_id, step_id, hashed, micros(at), micros(late_at), page)
            yield Operation(statements.BEGIN_WAIT, key, begun_wait, place)
            if hashed is not None:
                claimed = ClaimRow(key, path, flow_id, step_id, hashed, micros(at))
                yield Operation(statements.CLAIM, key, claimed, place)
        case StoreCallback():
            yield Operation(statements.CALL_BACK, change.execution_id or change.id, _callback_row(change), place)
        case TimeOutWait(id_, key, path, flow_id, step_id, at):
            waited_for = TimeoutRow(id_, key, path, flow_id, step_id, micros(at))
            yield Operation(statements.TIME_OUT, key, waited_for, place)
        case ReencryptCallback(id_, payload, was):
            yield Operation(statements.REENCRYPT_CALLBACK, f"callback {id_}", (id_, payload, was), place)
        case EndWait(key, path):
            yield Operation(statements.END_WAIT, key, (key, path), place)
        case JoinBatch(step, flow_id, version, batch_key, size, gathered, at):
            key = gathered.execution_id
            yield Operation(statements.RECORD, key, _record_row(key, step), place)
            due_at, hashed = micros(step.due_at), key_hash(batch_key)
            come = JoinRow(step.seq, step.path, flow_id, version, hashed, size, gathered, due_at, micros(at))
            yield Operation(statements.JOIN, key, come, place)
        case CloseBatch(key, path):
            yield Operation(statements.CLOSE_BATCH, key, (key, path), place)
        case TakeBatch(key, path):
            yield Operation(statements.TAKE_MEMBERS, key, (key, path), place)
            yield Operation(statements.TAKE_BATCH, key, (key, path), place)
        case ReencryptBatchItem(item_at, body, was):
            about = f"batch item {' '.join(map(str, item_at))}"
            yield Operation(statements.REENCRYPT_BATCH_ITEM, about, (*item_at, body, was), place)
        case Cancel(key, at, tells):
            yield Operation(statements.CANCEL, key, (key, micros(at)), place)
            if tells is not None:
                yield Operation(statements.TELL_CANCELLED, key, EndRow(key, _callback_row(tells)), place)
            yield Operation(statements.ADVANCE, key, (key,), place)
        case SetState(flow_id, name, value, at):
            about = f"state {flow_id} {name}"
            if value is None:
                yield Operation(statements.DROP_STATE, about, (flow_id, name), place)
            else:
                yield Operation(statements.SET_STATE, about, (flow_id, name, micros(at), value), place)
        case AddState(key, step, flow_id, name, by, at, others):
            yield Operation(statements.RECORD, key, _record_row(key, step), place)
            counted = CountRow(key, step.seq, flow_id, name, by, micros(at), step.output, others)
            yield Operation(statements.ADD_STATE, key, counted, place)
        case SetCursor(flow_id, value, at):
            yield Operation(statements.SET_CURSOR, f"cursor {flow_id}", (flow_id, micros(at), value), place)
        case TakeDedupeKeys(flow_id, keys, at, until):
            for id_, dedupe_key in keys:
                yield Operation(statements.RELEASE_KEYS, id_, (flow_id, key_hash(dedupe_key), micros(at)), place)
            for id_, dedupe_key in keys:
                taken = (id_, flow_id, key_hash(dedupe_key), micros(until))
                yield Operation(statements.TAKE_KEYS, id_, taken, place)
        case SetSubscription(flow_id, value, at):
            about = f"subscription {flow_id}"
            if value is None:
                yield Operation(statements.DROP_SUBSCRIPTION, about, (flow_id,), place)
            else:
                yield Operation(statements.SET_SUBSCRIPTION, about, (flow_id, micros(at), value), place)
        case ReencryptSubscription(flow_id, value, was):
            yield Operation(statements.REENCRYPT_SUBSCRIPTION, f"subscription {flow_id}", (flow_id, value, was), place)
        case Unblock(flow_id, at):
            yield Operation(statements.UNBLOCK, "", (flow_id, micros(at)), place)
        case End(key, state, outcome, at, error, waited, ordered):
            cause = (
                (None, None, None, None)
                if error is None
                else (error.code, storable(error.message), storable(error.step), error.retryable)
            )
            alike = cause_of(error) if error is not None and state is State.FAILED else None
            yield Operation(statements.END, key, (key, state.value, outcome.value, micros(at), *cause, alike), place)
            if waited:
                yield Operation(statements.DROP_WAITS, key, (key,), place)
                yield Operation(statements.CLOSE_BATCHES, key, (key,), place)
            if ordered:
                yield Operation(statements.ADVANCE, key, (key,), place)
        case Reopen(key, at):
            yield Operation(statements.REOPEN, key, (key, micros(at), None), place)
            yield Operation(statements.HOLD, key, (key,), place)
        case DismissDeadLetter(key, at):
            yield Operation(statements.DISMISS_DEAD_LETTER, key, (key, micros(at)), place)
        case SetDataKey(key, wrapped, was):
            yield Operation(statements.SET_DATA_KEY, key, (key, wrapped, was), place)
        case ReleaseOrderKey(key, _):
            yield Operation(statements.RELEASE_ORDER_KEY, key, (key,), place)
            yield Operation(statements.ADVANCE, key, (key,), place)
        case Publish(flow_id, version, document, at):
            key = f"version {flow_id} {version}"
            yield Operation(statements.PUBLISH, key, (flow_id, version, micros(at), document), place)
        case OverrideState(flow_id, state, file_state, at):
            about = f"override {flow_id}"
            if state is None:
                yield Operation(statements.DROP_OVERRIDE, about, (flow_id,), place)
            else:
                yield Operation(statements.OVERRIDE, about, (flow_id, state, file_state, micros(at)), place)
        case PutCredential(name, type_, ciphertext, at, flows, hosts):
            limits = tuple(msgspec.json.encode(texts) if texts else None for texts in (flows, hosts))
            row = (name, type_, ciphertext, micros(at), *limits)
            yield Operation(statements.PUT_CREDENTIAL, f"credential {name}", row, place)
        case PutTokens(name, put_at, ciphertext, before):
            (replaced,) = before or (None,)
            compared = (before is not None, replaced)
            row_of_tokens = (name, micros(put_at), ciphertext, *compared)
            yield Operation(statements.PUT_TOKENS, f"credential {name}", row_of_tokens, place)
        case DropCredential(name):
            yield Operation(statements.DROP_CREDENTIAL, f"credential {name}", (name,), place)
        case Deploy(deployment):
            yield Operation(statements.DEPLOY, "deployments", deployment, place)
        case WriteFiles():
            yield Operation(statements.WRITE_FILES, "deployments", change, place)
        case FilesWritten(files):
            yield Operation(statements.FILES_WRITTEN, "deployments", files, place)
        case SetCases():
            yield Operation(statements.SET_CASES, "deployments", change, place)
        case PutDraft(draft):
            yield Operation(statements.PUT_DRAFT, f"draft {draft.info.flow_id}", change, place)
        case DropDraft(flow_id):
            yield Operation(statements.DROP_DRAFT, f"draft {flow_id}", change, place)
        case OpenCapture():
            yield Operation(statements.OPEN_CAPTURE, "captures", change, place)
        case CloseCapture():
            yield Operation(statements.CLOSE_CAPTURE, "captures", change, place)
        case DropCapture(flow_id):
            yield Operation(statements.DROP_CAPTURE, "captures", flow_id, place)
        case KeepCaptured():
            yield Operation(statements.KEEP_CAPTURED, "captures", change, place)
        case ForgetCaptured(before):
            yield Operation(statements.FORGET_CAPTURED, "captures", micros(before), place)
        case CreateToken():
            yield Operation(statements.CREATE_TOKEN, "tokens", change, place)
        case DrainNode(lease, at):
            yield Operation(statements.DRAIN, f"node {lease}", (lease, micros(at)), place)
        case RevokeToken():
            yield Operation(statements.REVOKE_TOKEN, "tokens", change, place)
        case CreateSession():
            yield Operation(statements.CREATE_SESSION, "sessions", change, place)
        case EndSession(digest):
            yield Operation(statements.END_SESSION, "sessions", digest, place)
        case CreateSignInCode():
            yield Operation(statements.CREATE_SIGN_IN_CODE, "sessions", change, place)
        case UseSignInCode(digest):
            yield Operation(statements.USE_SIGN_IN_CODE, "sessions", digest, place)
        case ForgetSessions(at):
            yield Operation(statements.FORGET_SESSIONS, "sessions", micros(at), place)
        case UseKeys():
            yield Operation(statements.USE_KEYS, "secrets", change, place)
        case RetireKeys():
            yield Operation(statements.RETIRE_KEYS, "secrets", change, place)
        case SetAdminToken():
            yield Operation(statements.SET_ADMIN_TOKEN, "secrets", change, place)
        case RecordAudit(entries):
            yield Operation(statements.RECORD_AUDIT, "audit", entries, place)
        case ForgetAudit(before):
            yield Operation(statements.FORGET_AUDIT, "audit", micros(before), place)
        case RejectSignIns(sign_ins):
            yield Operation(statements.REJECT_SIGN_INS, "sign-ins", sign_ins, place)
        case Reject(requests):
            for request in requests:
                yield Operation(statements.REJECT, f"rejected {request.flow_id}", _rejected_row(request), place)
            for flow_id in sorted({request.flow_id for request in requests}):
                yield Operation(statements.TRIM_REJECTED, f"rejected {flow_id}", (flow_id,), place)
        case PutStatistics(node, minutes):
            for minute in minutes:
                row = statistics.minute_row(node, minute)
                yield Operation(statistics.PUT, f"statistics {minute.flow_id}", row, place)
        case RollUpStatistics():
            yield Operation(statistics.ROLL_UP, "", change, place)
        case ReportProblems():
            yield Operation(statements.REPORT_PROBLEMS, f"problems of {change.node}", change, place)
        case ForgetCallbacks(ids):
            for key in ids:
                yield Operation(statements.FORGET_CALLBACKS, key, (key,), place)
        case ForgetEarlyCallbacks(at):
            yield Operation(statements.DROP_EARLY_REFERENCES, "", (micros(at),), place)
            yield Operation(statements.FORGET_EARLY, "", (micros(at),), place)
        case UseFiles(key):
            yield Operation(statements.USE_FILES, key, (key,), place)
        case ForgetFiles(ids, at):
            for key in ids:
                yield Operation(statements.FORGET_FILES, key, (key, micros(at)), place)
                yield Operation(statements.DROP_REFERENCES, key, (key,), place)
        case Purge(ids):
            for statement in statements.PURGES:
                for key in ids:
                    yield Operation(statement, key, (key,), place)
        case ForgetDedupeKeys(at):
            yield Operation(statements.FORGET_KEYS, "", (micros(at),), place)
        case MoveWaits(id_, by):
            moved = (id_, by // timedelta(microseconds=1))
            for statement in statements.MOVES:
                yield Operation(statement, "", moved, place)
        case ForgetVersions(flow_id, versions):
            for version in versions:
                yield Operation(statements.FORGET_VERSIONS, f"version {flow_id} {version}", (flow_id, version), place)
        case Accept():  # `batch` has taken it
            raise AssertionError(change)
        case _:
            assert_never(change)


def _record_row(execution_id: str, step: StepRecord) -> Row:
    return (
        execution_id,
        step.seq,
        step.id,
        step.path,
        step.use,
        step.state.value,
        step.attempt,
        micros(step.started_at),
        micros(step.finished_at),
        micros(step.due_at),
        step.signal,
        None
        if step.error is None
        else _error.encode(
            msgspec.structs.replace(step.error, message=storable(step.error.message), step=storable(step.error.step))
        ),
        step.input,
        step.output,
        step.encrypted,
    )


def _callback_row(change: StoreCallback) -> CallbackRow:
    return CallbackRow(
        id=change.id,
        execution_id=change.execution_id,
        path=change.path,
        flow_id=change.flow_id,
        step_id=change.step_id,
        key_hash=None if change.key is None else key_hash(change.key),
        digest=change.digest,
        at=micros(change.at),
        until=micros(change.until),
        payload=change.payload,
        blob_ids=change.blob_ids,
        audit=change.audit,
    )


def _rejected_row(request: RejectedRequest) -> Row:
    return (
        request.id,
        storable(request.flow_id),
        micros(request.at),
        request.code,
        request.status,
        storable(request.detail),
        storable(request.method),
        storable(request.path),
        request.size,
        storable(request.client),
        request.body,
    )


def _blobs(execution_id: str, step: StepRecord) -> list[str]:
    if step.output is None:
        return []
    try:
        if step.signal == STREAM:
            items = _kept_items.decode(step.output)
            return [items.body.stream, *(attachment.id for attachment in items.attachments)]
        kept = _kept.decode(step.output)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"entry {step.seq} of execution {execution_id}: its output is not JSON of a Result ({error})"
        ) from error
    return [attachment.id for attachment in kept.attachments]
