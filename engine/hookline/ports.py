"""Ports: what the engine asks of a backend, and the changes that a store commits.

`Store.commit` is the only write. Where a backend is queue and store in one (SQL), accepting a message and
acknowledging it are changes in a commit like any other, so that they can't disagree with the journal.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

from hookline.model.execution import ErrorInfo, Execution, Outcome, State, StepRecord
from hookline.model.message import Envelope
from hookline.model.refused import RefusedRequest

# --- Changes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept:
    """A message is accepted: a queued execution, unless its key was used and its window is still open.

    It isn't ready while another of the flow with its order key, accepted before, has not ended.
    """

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Start:
    """queued, or parked before its first step, → running; the version of the flow is bound."""

    execution_id: str
    flow_version: str
    at: datetime
    vars: bytes | None = None
    """JSON of the flow's vars, where they aren't those of its document: they stay the execution's until it ends."""


@dataclass(frozen=True, slots=True)
class Resume:
    """waiting → running. Harmless where it runs already, as what ran when the process died does."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """Entries are added to the journal of a running execution."""

    execution_id: str
    steps: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """queued or running → waiting; it becomes ready again at `ready_at`, or where that is None when it is unblocked."""

    execution_id: str
    at: datetime
    ready_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Unblock:
    """Each execution of the flow that waits without a time, or whose reason begins with `BLOCKED`, becomes ready.

    Those that wait for their turn (`ORDER`) go on waiting. One that is blocked has a time where some of it waits to be
    tried again, and some for a cause outside it.
    """

    flow_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """→ succeeded, failed or cancelled, from where `MOVES` lets it.

    The next execution with its order key becomes ready, unless this one failed and holds the key (`order_holds`).
    """

    execution_id: str
    state: State
    outcome: Outcome
    at: datetime
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Reopen:
    """failed → waiting, ready at once; its attempt counts up. What its journal holds as succeeded stays so.

    Where it had released its order key, it goes behind those that are there now with the same.
    """

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Release:
    """A failed execution that holds its order key makes way for the next. Nothing happens where it holds none."""

    execution_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Publish:
    """A version of a flow is kept, so that executions bound to it can go on with it. Known versions stay."""

    flow_id: str
    version: str
    document: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class PutCredential:
    """A credential is made or replaced."""

    name: str
    type: str
    ciphertext: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class DropCredential:
    """A credential is removed."""

    name: str


REFUSED_KEPT: Final = 100
"""Refused requests that are kept of a flow."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Requests were refused. Of each flow the newest `REFUSED_KEPT` stay."""

    requests: tuple[RefusedRequest, ...]


@dataclass(frozen=True, slots=True)
class ForgetFiles:
    """The executions refer to their files no more. One that has not ended, or was reopened, keeps them."""

    execution_ids: tuple[str, ...]
    at: datetime


Change: TypeAlias = (
    Accept
    | Start
    | Resume
    | Record
    | Park
    | Unblock
    | End
    | Reopen
    | Release
    | Publish
    | PutCredential
    | DropCredential
    | Refuse
    | ForgetFiles
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Its key was used before, by this execution; nothing was started."""

    execution_id: str


# --- Store -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """An execution as lists show it, with how its message came in."""

    execution: Execution
    payload: bytes
    """As `pack` gives it; the body of a large message is left out."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first."""

    items: tuple[Summary, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


@dataclass(frozen=True, slots=True)
class RefusedPage:
    """One page of refused requests, newest first."""

    items: tuple[RefusedRequest, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting execution whose time has come."""

    execution_id: str
    flow_id: str
    ready_at: datetime


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential as it is at rest."""

    name: str
    type: str
    ciphertext: bytes
    updated_at: datetime


class Store(Protocol):
    """Durable state. Every method raises StoreError where the backend can't be used now."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[Accepted | Duplicate | None]:
        """Make a batch durable, whole or not at all; gives one result for each change, in order.

        Accept gives Accepted or Duplicate, all others None. Raises IllegalStateChange, or ExecutionNotFound, and
        then nothing of this batch is written; batches of other callers that share the transaction are.
        """
        ...

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

    async def executions(
        self,
        *,
        flow_id: str | None = None,
        state: State | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first, paged by key: a page costs the same however long the history is.

        Raises ValueError for a cursor that isn't one.
        """
        ...

    async def due(self, after: datetime | None, until: datetime, limit: int) -> Sequence[Due]:
        """Waiting executions with `after < ready_at <= until`, in the order of `ready_at`."""
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """The earliest `ready_at` of a waiting execution that lies after a time."""
        ...

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """The document of a published version."""
        ...

    async def flows_with_work(self) -> Collection[str]:
        """Ids of the flows that have executions which have not ended."""
        ...

    async def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        """For each flow with queued executions: how many, and when the oldest was accepted."""
        ...

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """For each flow and state that is not final: how many executions are in it."""
        ...

    async def referenced(self, blob_ids: Collection[str]) -> Collection[str]:
        """Those of these blobs that an execution refers to."""
        ...

    async def executions_with_files(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Ids of executions that ended before a time and refer to files still, oldest first."""
        ...

    async def refused(self, *, flow_id: str | None = None, cursor: str | None = None, limit: int = 50) -> RefusedPage:
        """Refused requests, newest first; of all flows where none is named.

        Raises ValueError for a cursor that isn't one.
        """
        ...

    async def credentials(self) -> Sequence[StoredCredential]: ...

    async def ping(self) -> None:
        """Return if the store can be read and written."""
        ...


# --- Queue -----------------------------------------------------------------------------------------------------


class Delivery(Protocol):
    """An execution that is to be run or resumed, once."""

    execution_id: str
    flow_id: str
    envelope: Envelope | None
    """The message, where it is at hand; otherwise the store has it."""
    fresh: bool
    """It is queued: it was never started, and there is no journal to read."""

    async def ack(self) -> None:
        """It has ended or is parked, and that is committed: forget the delivery."""
        ...

    async def retry(self, after: float) -> None:
        """It couldn't be run: deliver it again after so many seconds."""
        ...


class Queue(Protocol):
    """Carries envelopes and wake-ups to the flows."""

    async def put(self, envelope: Envelope) -> Accepted | Duplicate:
        """Return when the message is durable. Raises StoreError."""
        ...

    def deliveries(self, flow_id: str) -> AsyncGenerator[Delivery, None]:
        """Endless: what a flow has to run, oldest first; reads ahead by a bounded number.

        A delivery that is neither acknowledged nor retried isn't given again while the process lives; after a
        crash it is.
        """
        ...

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """A parked execution is ready: deliver it."""
        ...


class Backend(Protocol):
    """A store and a queue; a plugin makes it from a URL."""

    store: Store
    queue: Queue

    async def open(self) -> None:
        """Connect, bring the schema up to date, and make ready again what ran when the process died.

        Raises StoreError where another process has it, or it can't be used.
        """
        ...

    async def close(self) -> None: ...


class BackendFactory(Protocol):
    """What `register_backends` gives for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Backend: ...


# --- Blobs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are kept."""

    id: str
    size: int
    sha256: str


class BlobWriter(Protocol):
    """A blob in the making. Leaving without `commit` leaves nothing."""

    size: int

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self) -> Blob:
        """Make it durable: the bytes are on disk when this returns."""
        ...

    async def abort(self) -> None:
        """Throw it away; harmless after `commit`."""
        ...


class Blobs(Protocol):
    """Where attachments' bytes are kept."""

    async def create(self) -> BlobWriter: ...

    def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """Its bytes. Raises BlobGone where there is no such blob, and StoreError."""
        ...

    async def delete(self, blob_id: str) -> None:
        """Remove it; nothing happens where it isn't."""
        ...

    def older_than(self, at: datetime) -> AsyncIterator[str]:
        """Ids of the blobs that were committed before a time: for sweeping."""
        ...

    async def close(self) -> None: ...


class BlobStoreFactory(Protocol):
    """What `register_blob_stores` gives for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Blobs: ...
