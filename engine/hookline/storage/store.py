"""The store: `commit` is the only write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from hookline.model.batch import BatchItem
from hookline.model.execution import ALL_EXECUTIONS, ErrorInfo, Execution, ExecutionFilter, State, StepRecord
from hookline.model.flow import FlowState
from hookline.model.items import Progress
from hookline.model.message import Envelope
from hookline.model.rejection import RejectedRequest
from hookline.storage.changes import Change, CommitResult


class BatchQueries(Protocol):
    """What is known of batches that their leaders have not taken."""

    async def batches(self, execution_id: str) -> Mapping[str, bool]:
        """The batches that an execution leads, by the paths of their steps: whether they are open still."""
        ...

    async def gathered(self, execution_id: str, path: str) -> Sequence[BatchItem]:
        """What executions have added to a batch, in the order in which they joined; the leader's comes first."""
        ...


class CallbackQueries(Protocol):
    """What is known of steps that wait for callbacks."""

    async def callbacks(self, execution_id: str) -> Mapping[str, bytes]:
        """What has come for the steps of an execution that wait, by their paths, as `pack_callback` packed it."""
        ...

    async def executions_with_callbacks(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Ids of executions that ended before a time and have callbacks still, oldest first."""
        ...

    async def waits(self, execution_id: str) -> Sequence[str]:
        """The paths of the steps of an execution that wait for callbacks."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential as it is at rest."""

    name: str
    type: str
    ciphertext: bytes
    updated_at: datetime
    tokens: bytes | None = None
    """Its access tokens, encrypted; None where it has none."""


class CredentialQueries(Protocol):
    """What is kept of credentials."""

    async def credentials(self) -> Sequence[StoredCredential]: ...


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of one flow with one cause."""

    flow_id: str
    cause: str
    """As `cause_of` gives it."""
    error: ErrorInfo
    """That of the newest."""
    count: int
    first_at: datetime
    """When the first of them failed."""
    last_at: datetime
    newest: str
    """The execution that was accepted last."""


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """One page of groups; that with the newest execution first."""

    items: tuple[DeadLetters, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class DeadLetterQueries(Protocol):
    """What is known of dead letters."""

    async def dead_letters(
        self, *, flow_id: str | None = None, cause: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeadLetterPage:
        """Grouped by cause; costs as much as there are dead letters, whatever else is in the history.

        Raises ValueError for a cursor that isn't one.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """An execution as lists show it, with how its message came in."""

    execution: Execution
    payload: bytes
    """As `pack` gives it; the body of a large message is left out."""


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """One page of a list, newest first."""

    items: tuple[ExecutionSummary, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class ExecutionQueries(Protocol):
    """What is known of executions."""

    async def execution(self, execution_id: str) -> Execution | None: ...

    async def envelope(self, execution_id: str) -> Envelope | None:
        """The accepted message, as it was put."""
        ...

    async def accepted_as(self, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
        """The execution that used a dedupe key whose window is still open; None where the key is free."""
        ...

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        """The entries with a `seq` above `after`, in order."""
        ...

    async def data_keys(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """Return ids above `after` of executions with a data key, in order, each with its encrypted data key."""
        ...

    async def executions(
        self, chosen: ExecutionFilter = ALL_EXECUTIONS, *, cursor: str | None = None, limit: int = 50
    ) -> ExecutionPage:
        """A page of executions, newest first. A page costs the same however long the history is.

        Raises ValueError for a cursor that isn't one, and for a cause without its flow.
        """
        ...


class FileQueries(Protocol):
    """What is known of executions' files."""

    async def referenced(self, blob_ids: Collection[str]) -> Collection[str]:
        """Those of these blobs that an execution refers to."""
        ...

    async def executions_with_files(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Ids of executions that ended before a time and refer to files still, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """A version of a flow that is kept."""

    version: str
    created_at: datetime
    """When it was first published."""
    served_at: datetime
    """When it last began to serve: of two versions, the one that began later."""


@dataclass(frozen=True, slots=True)
class StateOverride:
    """What an operator has decided a flow's state to be."""

    state: FlowState
    file_state: FlowState
    """What its file said then."""
    at: datetime


@dataclass(frozen=True, slots=True)
class StateEntry:
    """What a flow keeps under a key."""

    key: str
    updated_at: datetime
    value: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class StatePage:
    """One page of what a flow keeps."""

    items: Sequence[StateEntry]
    next: str | None
    """The cursor of the next page."""


class FlowQueries(Protocol):
    """What is kept of flows."""

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """The document of a published version."""
        ...

    async def flow_versions(self, flow_id: str) -> Sequence[FlowVersion]:
        """The versions of a flow that are kept; the one that began to serve last comes first."""
        ...

    async def executions_by_version(self, flow_id: str) -> Mapping[tuple[str | None, State], int]:
        """For each version, None where none is bound yet, and each state that is not final: how many executions of a
        flow are in it."""
        ...

    async def state_overrides(self) -> Mapping[str, StateOverride]:
        """What operators have decided, by flow."""
        ...

    async def state(self, flow_id: str, key: str) -> bytes | None:
        """JSON of what a flow keeps under a key."""
        ...

    async def kept(self, flow_id: str, *, cursor: str | None = None, limit: int = 50) -> StatePage:
        """What a flow keeps, in the order of its keys. Raises ValueError for a cursor that isn't one."""
        ...

    async def cursor(self, flow_id: str) -> bytes | None:
        """JSON of how far a flow's trigger has got."""
        ...


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes that a database takes on disk."""

    total: int
    free: int | None
    """Of these, what new data will fill before the files grow; None where the database doesn't say."""
    executions: int
    """How many executions there are, about."""


class HistoryQueries(Protocol):
    """What is known of executions that have ended."""

    async def flows_with_history(self) -> Collection[str]:
        """Ids of the flows of which any execution is kept, whether it has ended or not."""
        ...

    async def purgeable(
        self, flow_id: str | None, ended_before: datetime, limit: int, *, after: str = "", up_to: str | None = None
    ) -> Sequence[str]:
        """Ids of executions that ended before a time, and may go; oldest first, above `after`, and up to one."""
        ...

    async def first_too_many(self, flow_id: str, count: int) -> str | None:
        """The newest of a flow's executions that have ended before the newest `count`; None where there are no more."""
        ...

    async def room(self) -> DiskUsage:
        """How much room everything takes."""
        ...

    async def spent_versions(self, flow_id: str, keep: int) -> Sequence[str]:
        """Versions of a flow beyond those `keep` that served last, which no execution can refer to that is kept."""
        ...


class ItemQueries(Protocol):
    """What is known of items that are done."""

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        """Of each foreach of an execution that has not come to its end, by path."""
        ...

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        """What items gave, as JSON, with their places, which are above `after`, in order."""
        ...


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """One page of rejected requests, newest first."""

    items: tuple[RejectedRequest, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class RejectedQueries(Protocol):
    """What is known of requests that were rejected."""

    async def rejected(self, *, flow_id: str | None = None, cursor: str | None = None, limit: int = 50) -> RejectedPage:
        """Rejected requests, newest first; of all flows where none is named.

        Raises ValueError for a cursor that isn't one.
        """
        ...


class SubscriptionQueries(Protocol):
    """What is kept of subscriptions."""

    async def subscription(self, flow_id: str) -> bytes | None:
        """What is kept of a flow's subscription, encrypted."""
        ...

    async def subscriptions(self) -> Mapping[str, bytes]:
        """What is kept, by flow, encrypted."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting execution whose time has come."""

    execution_id: str
    flow_id: str
    ready_at: datetime


class WorkQueries(Protocol):
    """What is known of executions that have not ended."""

    async def due(self, after: datetime | None, until: datetime, limit: int) -> Sequence[Due]:
        """Waiting executions with `after < ready_at <= until`, in the order of `ready_at`."""
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """The earliest `ready_at` of a waiting execution that lies after a time."""
        ...

    async def flows_with_work(self) -> Collection[str]:
        """Ids of the flows that have executions which have not ended."""
        ...

    async def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        """For each flow with queued executions: how many, and when the oldest was accepted."""
        ...

    async def queue_depth(self, flow_id: str, order_key: str, limit: int) -> int:
        """The number of executions of a flow that have an order key and hold or await its turn; at most `limit`."""
        ...

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """For each flow and state that is not final: how many executions are in it."""
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
    RejectedQueries,
    CredentialQueries,
    SubscriptionQueries,
    Protocol,
):
    """Durable state. Every method raises StoreError where the backend can't be used now."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Make a batch durable, whole or not at all; gives one result for each change, in order.

        Accept gives Accepted or Duplicate, CallBack, TimeOut, Join and AddState what they say, all others None. Raises
        IllegalStateChange, or ExecutionNotFound, and then nothing of this batch is written; batches of other callers
        that share the transaction are.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read and written."""
        ...


async def readable_envelope(store: Store, execution_id: str) -> Envelope | None:
    """The message of an execution; None too where it is spoilt: that must not keep the execution from ending.

    Raises StoreError.
    """
    try:
        return await store.envelope(execution_id)
    except (msgspec.DecodeError, ValueError):
        return None
