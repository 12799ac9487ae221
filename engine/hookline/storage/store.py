"""The store: all queries, and `commit`, which is the only write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from hookline.model.access import ALL_ENTRIES, AuditEntry, AuditFilter, RejectedSignIn, Session, SignInCode, Token
from hookline.model.batch import BatchItem, BatchPlace
from hookline.model.callbacks_and_pages import WaitStatus
from hookline.model.deployments_and_drafts import Deployment, Draft, DraftInfo, FlowFile, ServedFlow
from hookline.model.execution import ALL_EXECUTIONS, ErrorInfo, Execution, ExecutionFilter, State, StepRecord
from hookline.model.flow import ServingState
from hookline.model.foreach_progress_and_streams import Progress
from hookline.model.message import Envelope
from hookline.model.rejection import RejectedRequest
from hookline.storage.captures import Capture, CapturedInfo, CapturedRequest
from hookline.storage.change_declarations import Change, CommitResult
from hookline.storage.node_problems import NodeProblem
from hookline.storage.statistics import FlowPoint, StatisticsPoint


class BatchQueries(Protocol):
    """Batches that their leaders have not taken yet."""

    async def batches(self, execution_id: str) -> Mapping[str, bool]:
        """Return the batches that an execution leads, by the paths of their steps; the value is true while the batch is
        open."""
        ...

    async def batch_items(self, execution_id: str, path: str) -> Sequence[BatchItem]:
        """Return the items of a batch in the order in which they joined; the leader's comes first."""
        ...

    async def batch_bodies(self, after: BatchPlace | None, limit: int) -> Sequence[tuple[BatchPlace, bytes]]:
        """Return the bodies of the items of all batches with their places, in the order of these, above `after`."""
        ...


class CallbackQueries(Protocol):
    """Steps that wait for callbacks, and their callbacks."""

    async def callbacks(self, execution_id: str) -> Mapping[str, bytes]:
        """Return the packed callbacks of an execution's waiting steps, by the paths of the steps."""
        ...

    async def callbacks_to_come(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """Return ids above `after` of callbacks that a step may still take, in order, each with the packed callback:
        all but those of executions that have succeeded or were cancelled."""
        ...

    async def executions_with_callbacks(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Return the ids of executions that ended before a time and still have callbacks, oldest first; no dead
        letters."""
        ...

    async def waits(self, execution_id: str) -> Sequence[str]:
        """Return the paths of an execution's steps that wait for callbacks."""
        ...

    async def wait_status(self, execution_id: str, path: str) -> WaitStatus:
        """Return the status of one step."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A stored credential."""

    name: str
    type: str
    ciphertext: bytes
    updated_at: datetime
    tokens: bytes | None = None
    """Its access tokens, encrypted; None if it has none."""
    flows: tuple[str, ...] = ()
    """Patterns of the ids of the flows that may use it; none for all."""
    hosts: tuple[str, ...] = ()
    """The hosts to which it may be sent, besides those that its type names."""


class CredentialQueries(Protocol):
    """The stored credentials."""

    async def credentials(self) -> Sequence[StoredCredential]: ...


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one flow with the same cause."""

    flow_id: str
    cause: str
    """The result of `cause_of`."""
    error: ErrorInfo
    """The error of the newest one."""
    count: int
    first_at: datetime
    """The time at which the first of them failed."""
    last_at: datetime
    newest: str
    """The execution that was accepted last."""


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """A page of groups of dead letters; the group with the newest execution comes first."""

    items: tuple[DeadLetters, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class DeadLetterQueries(Protocol):
    """The dead letters."""

    async def dead_letters(
        self, *, flow_id: str | None = None, cause: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeadLetterPage:
        """Return dead letters grouped by cause. The cost depends only on the number of dead letters.

        Raises ValueError for an invalid cursor.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """An entry in a list of executions."""

    execution: Execution
    payload: bytes
    """The result of `pack`; the body of a large message is left out."""


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """A page of executions, newest first."""

    items: tuple[ExecutionSummary, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class ExecutionQueries(Protocol):
    """Executions, their messages and their journals."""

    async def execution(self, execution_id: str) -> Execution | None: ...

    async def envelope(self, execution_id: str) -> Envelope | None:
        """Return the accepted message."""
        ...

    async def accepted_as(self, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
        """Return the execution that used a dedupe key whose window is still open; None if the key is free."""
        ...

    async def aliased(self, alias: str) -> str | None:
        """Return the execution of which an id is an alias; None if it is none."""
        ...

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        """Return the entries with a `seq` above `after`, in order."""
        ...

    async def data_keys(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """Return ids above `after` of executions with a data key, in order, each with its encrypted data key."""
        ...

    async def executions(
        self, chosen: ExecutionFilter = ALL_EXECUTIONS, *, cursor: str | None = None, limit: int = 50
    ) -> ExecutionPage:
        """Return a page of executions, newest first. The cost doesn't depend on the length of the history.

        Raises ValueError for an invalid cursor, and for a cause without its flow.
        """
        ...

    async def matching_ids(self, part: str, limit: int, flows: Collection[str] | None = None) -> Sequence[str]:
        """Return ids that begin with a part of an id, or end with it, newest first; with `flows`, only those of these.

        Only the newest 100,000 are searched for the end, or for the flows, so that the cost doesn't depend on the
        length of the history.
        """
        ...


class FileQueries(Protocol):
    """References of executions to files."""

    async def referenced(self, blob_ids: Collection[str]) -> Collection[str]:
        """Return the given blobs to which an execution refers."""
        ...

    async def executions_with_files(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Return the ids of executions that ended before a time and still refer to files, oldest first; no dead
        letters."""
        ...


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """A stored version of a flow."""

    version: str
    created_at: datetime
    """The time of its first publication."""
    served_at: datetime
    """The time since which it serves, or served last; the version with the latest one serves."""


@dataclass(frozen=True, slots=True)
class StateOverride:
    """An operator's override of a flow's state."""

    state: ServingState
    file_state: ServingState
    """The state in the flow's file at that time."""
    at: datetime


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A stored value of a flow."""

    key: str
    updated_at: datetime
    value: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class StatePage:
    """A page of a flow's stored values."""

    items: Sequence[StateEntry]
    next: str | None
    """The cursor of the next page."""


class FlowQueries(Protocol):
    """The stored values and versions of flows."""

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """Return the document of a published version."""
        ...

    async def flow_documents(self, versions: Collection[tuple[str, str]]) -> Mapping[str, bytes]:
        """Return the documents of published versions by flow. `versions`: ids of flows, one version of each."""
        ...

    async def flow_versions(self, flow_id: str) -> Sequence[FlowVersion]:
        """Return the stored versions of a flow; the one that serves comes first."""
        ...

    async def executions_by_version(self, flow_id: str) -> Mapping[tuple[str | None, State], int]:
        """Return the numbers of a flow's executions that have not ended, by version and state; the version is None if
        none is bound yet."""
        ...

    async def state_overrides(self) -> Mapping[str, StateOverride]:
        """Return the overrides of operators, by flow."""
        ...

    async def state(self, flow_id: str, key: str) -> bytes | None:
        """Return the JSON of a flow's value under a key."""
        ...

    async def state_entries(self, flow_id: str, *, cursor: str | None = None, limit: int = 50) -> StatePage:
        """Return a page of a flow's values, in the order of their keys. Raises ValueError for an invalid cursor."""
        ...

    async def cursor(self, flow_id: str) -> bytes | None:
        """Return the JSON of the cursor of a flow's trigger."""
        ...


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk usage of a database, in bytes."""

    total: int
    free: int | None
    """The part of `total` that new data fills before the files grow; None if the database doesn't tell."""


@dataclass(frozen=True, slots=True)
class RowUsage:
    """The bytes of a flow's rows, by estimate, with their share of the indexes."""

    flow_id: str
    used: int
    """Of all its executions, and on the last page of all its dedupe keys, which purging doesn't free."""
    purgeable: int
    """The part of `used` that purging frees."""
    dead_letters: int
    """The part of `used` that open dead letters take."""


@dataclass(frozen=True, slots=True)
class RowUsagePage:
    """The rows of some executions."""

    items: Sequence[RowUsage]
    """At most one for each flow."""
    next: str | None
    """The `after` of the next page; None on the last page."""


@dataclass(frozen=True, slots=True)
class FileUse:
    """A file to which executions of a flow refer."""

    blob_id: str
    flow_id: str
    purgeable: bool
    """All these executions may be purged."""
    dead_letter: bool
    """One of them is an open dead letter."""


@dataclass(frozen=True, slots=True)
class FileUsePage:
    """Some files, with all flows that use them."""

    items: Sequence[FileUse]
    """In the order of the blobs' ids."""
    next: str | None
    """The `after` of the next page; None on the last page."""


class UsageQueries(Protocol):
    """The room that executions take, in pages, so that no query reads the whole history at once."""

    async def disk_usage(self) -> DiskUsage:
        """Return the disk usage of the database."""
        ...

    async def execution_count(self) -> int:
        """Return the number of executions."""
        ...

    async def row_usage(self, after: str, limit: int) -> RowUsagePage:
        """Return the room that the rows of `limit` executions take, from the one after the id `after`, by flow."""
        ...

    async def file_usage(self, after: str, limit: int) -> FileUsePage:
        """Return `limit` files from the one after the id `after`, each with the flows whose executions refer to it."""
        ...

    async def freed_by_purging(self, execution_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes that purging each of these executions frees in the database, by estimate; executions that
        can't be purged are left out."""
        ...

    async def files_of(self, execution_ids: Sequence[str]) -> Mapping[str, Collection[str]]:
        """Return the blobs to which executions refer, by execution; executions without files are left out."""
        ...


@dataclass(frozen=True, slots=True)
class PartitionUpkeep:
    """The result of an upkeep of partitions."""

    removed: int
    """The number of partitions that were removed."""
    purge_before: datetime
    """Executions with the longest retention are purged one by one if they ended before this time. Later ones are
    removed with their partition."""


class HistoryQueries(Protocol):
    """The history of ended executions."""

    async def flows_with_history(self) -> Collection[str]:
        """Return the ids of all flows that have executions."""
        ...

    async def purgeable(
        self, flow_id: str | None, ended_before: datetime, limit: int, *, after: str = "", up_to: str | None = None
    ) -> Sequence[str]:
        """Return the ids of executions that ended before a time and may be removed, oldest first, above `after` and up
        to `up_to`. Dead letters, and failures that hold their order keys, may not."""
        ...

    async def keep_partitions(self, longest: timedelta, before: datetime) -> PartitionUpkeep:
        """Make the partitions of the coming week, and remove those that are past the longest retention.

        Nothing happens if the store has no partitions.

        `longest`: the longest retention of any flow. `before`: a removed partition has only executions that ended
        before this time. Dead letters, and executions that have not ended, stay.
        """
        ...

    async def has_spent_keys(self, at: datetime) -> bool:
        """Return true if there are dedupe keys whose windows were over at a time."""
        ...

    async def first_too_many(self, flow_id: str, count: int) -> str | None:
        """Return the newest ended execution of a flow after the newest `count`; None if there are no more. Dead letters
        don't count."""
        ...

    async def spent_versions(self, flow_id: str, keep: int, deployments: int = 0) -> Sequence[str]:
        """Return versions of a flow to which no stored execution can refer.

        The `keep` that served last aren't among them, and neither are those that served after one of the newest
        `deployments`, of whatever flows.
        """
        ...


class ItemQueries(Protocol):
    """The finished items of foreach blocks."""

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        """Return the progress of each unfinished foreach of an execution, by path."""
        ...

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        """Return the runs of results that begin after an item, in order, at most `limit` of them.

        See `CheckpointItems.results`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rejections:
    """The rejected requests of a flow since a time."""

    count: int
    """At most `MAX_REJECTED_KEPT`."""
    first_at: datetime
    newest: RejectedRequest


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """The stored rejected requests of a flow with one code."""

    flow_id: str
    code: str
    count: int
    newest_at: datetime


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """A page of rejected requests, newest first."""

    items: tuple[RejectedRequest, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class RejectedQueries(Protocol):
    """The rejected requests."""

    async def rejected(
        self, *, flow_id: str | None = None, code: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> RejectedPage:
        """Return a page of rejected requests, newest first; of all flows and with all codes if none is named.

        Raises ValueError for an invalid cursor.
        """
        ...

    async def rejection_reasons(self) -> Sequence[RejectionReason]:
        """Return the codes of the stored rejected requests of each flow, by flow and code."""
        ...

    async def rejected_since(self, since: datetime) -> Mapping[str, Rejections]:
        """Return, for each flow with rejected requests since a time, their number and the newest one."""
        ...


class StatisticsQueries(Protocol):
    """The statistics, by the minute and by the hour."""

    async def statistics(
        self, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
    ) -> Sequence[StatisticsPoint]:
        """Return the sums of flows and nodes from `since` to `until`, in order; times without anything are left out.

        Minutes that are kept by the hour are only in `hourly` sums. `ALL_FLOWS` stands for all flows together.
        """
        ...

    async def statistics_by_flow(
        self, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
    ) -> Sequence[FlowPoint]:
        """Return the sums of nodes from `since` to `until` for each flow, in order; times without anything are left
        out. Minutes that are kept by the hour are only in `hourly` sums."""
        ...

    async def has_old_statistics(self, minutes_before: datetime, hours_before: datetime) -> bool:
        """Return true if `RollUpStatistics` would find something."""
        ...


class ProblemQueries(Protocol):
    """The problems that nodes have reported."""

    async def node_problems(self, since: datetime) -> Sequence[NodeProblem]:
        """Return the problems that nodes have reported since a time; the same problem of several nodes once, with the
        earliest `since`."""
        ...


class SubscriptionQueries(Protocol):
    """The stored subscriptions."""

    async def subscription(self, flow_id: str) -> bytes | None:
        """Return the encrypted subscription of a flow."""
        ...

    async def subscriptions(self) -> Mapping[str, bytes]:
        """Return the encrypted subscriptions, by flow."""
        ...


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the audit, newest first."""

    items: tuple[AuditEntry, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class AuditQueries(Protocol):
    """The audit."""

    async def audit(
        self, chosen: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 50
    ) -> AuditPage:
        """Return a page of entries, newest first. Raises ValueError for an invalid cursor."""
        ...


@dataclass(frozen=True, slots=True)
class SharedSecrets:
    """The ids and the hash by which the nodes of a database share secrets."""

    keys: tuple[str, ...] = ()
    """The ids of the keys in use; empty until the first node has told of its keys."""
    admin_token: bytes | None = None
    """The SHA-256 of the server's own token."""


@dataclass(frozen=True, slots=True)
class RejectedSignInPage:
    """A page of rejected sign-ins, newest first."""

    items: tuple[RejectedSignIn, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class AccessQueries(Protocol):
    """The tokens, the sessions, and the requests whose tokens weren't valid."""

    async def tokens(self) -> Sequence[Token]:
        """Return all tokens, the newest first."""
        ...

    async def token(self, digest: bytes) -> Token | None:
        """Return the token whose secret has this SHA-256, also one that isn't valid."""
        ...

    async def token_by_id(self, token_id: str) -> Token | None:
        """Return a token, also one that isn't valid."""
        ...

    async def session(self, digest: bytes) -> Session | None:
        """Return the session whose secret has this SHA-256, also one that isn't valid."""
        ...

    async def sign_in_code(self, digest: bytes) -> SignInCode | None:
        """Return the sign-in code that has this SHA-256, also one that isn't valid."""
        ...

    async def has_expired_sessions(self, at: datetime) -> bool:
        """Return true if there are sessions or sign-in codes that have expired."""
        ...

    async def instance_id(self) -> str:
        """Return the id of the database: lower-case letters and digits, the same for all of its nodes."""
        ...

    async def shared_secrets(self) -> SharedSecrets:
        """Return the ids and the hash by which the nodes share secrets."""
        ...

    async def rejected_sign_ins(self, *, cursor: str | None = None, limit: int = 50) -> RejectedSignInPage:
        """Return a page of rejected sign-ins, newest first. Raises ValueError for an invalid cursor."""
        ...


@dataclass(frozen=True, slots=True)
class DeploymentPage:
    """A page of deployments, newest first."""

    items: tuple[Deployment, ...]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class DeploymentQueries(Protocol):
    """The flows that are served, and the history of the whole set."""

    async def served_flows(self) -> Sequence[ServedFlow]:
        """Return the flows that are served, by the order of their ids."""
        ...

    async def served_after(self, deployment_id: str) -> Mapping[str, str]:
        """Return the versions that were served after a deployment, by flow."""
        ...

    async def deployment(self, deployment_id: str) -> Deployment | None: ...

    async def deployments(
        self, *, flows: Collection[str] | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeploymentPage:
        """Return a page of deployments, newest first.

        `flows`: only deployments that changed one of these flows, without their other flows. Raises ValueError for an
        invalid cursor.
        """
        ...

    async def unwritten_files(self) -> Sequence[FlowFile]:
        """Return the texts that are still to be written to the folder of the flows."""
        ...

    async def flow_cases(self, flow_id: str) -> bytes | None:
        """Return the test cases of a flow that is served from the database, or those that a deleted flow had."""
        ...


@dataclass(frozen=True, slots=True)
class DraftPage:
    """A page of drafts, in the order of their flows."""

    items: tuple[DraftInfo, ...]
    next: str | None


class DraftQueries(Protocol):
    """The drafts of flows, which aren't served."""

    async def drafts(
        self, *, flows: Collection[str] | None = None, cursor: str | None = None, limit: int = 50
    ) -> DraftPage:
        """Return a page of drafts, in the order of their flows. `flows`: only drafts of these; None for all."""
        ...

    async def draft(self, flow_id: str) -> Draft | None:
        """Return the draft of a flow."""
        ...


@dataclass(frozen=True, slots=True)
class CapturedPage:
    """A page of captured requests, newest first."""

    items: tuple[CapturedInfo, ...]
    next: str | None


class CaptureQueries(Protocol):
    """Captures, and the requests that they have kept."""

    async def captures(self, since: datetime) -> Sequence[Capture]:
        """Return all captures, open or not, in the order of their flows. Their requests count from `since` on."""
        ...

    async def captured(
        self, flow_id: str, since: datetime, *, cursor: str | None = None, limit: int = 50
    ) -> CapturedPage:
        """Return a page of requests since a time, newest first. Raises ValueError for an invalid cursor."""
        ...

    async def captured_request(self, flow_id: str, request_id: str) -> CapturedRequest | None:
        """Return a captured request."""
        ...

    async def has_old_captures(self, before: datetime) -> bool:
        """Return true if `ForgetCaptured` has something to remove."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """Executions of a flow that can't go on by themselves."""

    count: int
    """At most the limit of the query."""
    since: datetime
    """The time at which the oldest was accepted, or began to wait."""
    reason: str | None = None
    """The `reason` of the oldest; None if they wait for callbacks."""


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting execution whose time has come."""

    execution_id: str
    flow_id: str
    ready_at: datetime


class WorkQueries(Protocol):
    """Executions that have not ended."""

    async def due(self, after: datetime | None, until: datetime, limit: int) -> Sequence[Due]:
        """Return waiting executions with `after < ready_at <= until`, in the order of `ready_at`."""
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """Return the earliest `ready_at` of a waiting execution after a time."""
        ...

    async def flows_with_work(self) -> Collection[str]:
        """Return the ids of flows with executions that have not ended."""
        ...

    async def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        """Return, for each flow with queued executions, their number and the time at which the oldest was accepted."""
        ...

    async def oldest_queued(self) -> Mapping[str, datetime]:
        """Return, for each flow with queued executions, the time at which the oldest was accepted.

        The cost depends only on the number of flows.
        """
        ...

    async def blocked(self, limit: int) -> Mapping[str, Held]:
        """Return, for each flow with blocked executions, their number and the oldest; `limit` of each flow at most."""
        ...

    async def late_waits(self, at: datetime, limit: int) -> Mapping[str, Held]:
        """Return, for each flow with steps whose `late_at` has come, their number and the time since which the one that
        was late first waits; `limit` of each flow at most."""
        ...

    async def queue_depth(self, flow_id: str, order_key: str, limit: int) -> int:
        """Return the number of a flow's executions with an order key that have not left its queue; at most `limit`."""
        ...

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """Return the numbers of executions that have not ended, by flow and state."""
        ...


class Store(
    ExecutionQueries,
    ItemQueries,
    DeadLetterQueries,
    CallbackQueries,
    BatchQueries,
    WorkQueries,
    FlowQueries,
    FileQueries,
    HistoryQueries,
    UsageQueries,
    RejectedQueries,
    StatisticsQueries,
    ProblemQueries,
    CredentialQueries,
    SubscriptionQueries,
    DeploymentQueries,
    DraftQueries,
    CaptureQueries,
    AccessQueries,
    AuditQueries,
    Protocol,
):
    """The durable state. Every method raises StoreError if the backend can't be used now."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Commit changes, all or none; return the result of each, in order.

        The declaration of a change names the types of its result. Raises IllegalStateChange or ExecutionNotFound, and
        then none of these changes is written; changes of other callers that share the transaction are.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read and written."""
        ...


async def readable_envelope(store: Store, execution_id: str) -> Envelope | None:
    """Return the message of an execution; None if there is none, or if it can't be decoded, so that the execution can
    still end.

    Raises StoreError.
    """
    try:
        return await store.envelope(execution_id)
    except (msgspec.DecodeError, ValueError):
        return None
