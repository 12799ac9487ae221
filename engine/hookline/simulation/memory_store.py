"""A store in memory, for a few executions that are run once: nothing is durable, listed or swept."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, StoreError
from hookline.model.batch import JOINED, MAX_BATCH_BYTES, BatchItem, joined_output
from hookline.model.callbacks_and_pages import WaitStatus
from hookline.model.execution import FINAL, RETRY, Execution, Outcome, State, StepRecord, StepState, check_transition
from hookline.model.foreach_progress_and_streams import Progress
from hookline.model.message import Envelope
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    AddState,
    BatchJoined,
    BatchLed,
    BeginWait,
    CallbackRepeated,
    CallbackStored,
    Cancel,
    Change,
    CheckpointItems,
    CloseBatch,
    CommitResult,
    DropEntries,
    End,
    EndWait,
    FinishBlock,
    JoinBatch,
    MarkDelivered,
    NotANumber,
    NotWaiting,
    Park,
    Publish,
    RecordSteps,
    Reopen,
    Resume,
    SetState,
    Start,
    StateAdded,
    StoreCallback,
    TakeBatch,
    TimeOutWait,
    WaitTimedOut,
    counted_output,
    counted_value,
)


@dataclass(frozen=True, slots=True)
class MemoryBatch:
    """A batch of one leader at one step."""

    key: tuple[str, str, str, str] | None
    """Flow, version, path and key while others may join."""
    due_at: datetime | None
    members: tuple[BatchItem, ...]

    @property
    def leader_id(self) -> str:
        """The execution that came first."""
        return self.members[0].execution_id

    def takes(self, join: JoinBatch) -> bool:
        """Return true if another message is in time and fits in the batch."""
        in_time = self.due_at is None or self.due_at > join.at
        return in_time and sum(one.size for one in self.members) + join.gathered.size <= MAX_BATCH_BYTES

    def closed(self) -> "MemoryBatch":
        """Return the batch so that no other execution can join it."""
        return replace(self, key=None)

    def grown(self, gathered: BatchItem) -> "MemoryBatch":
        """Return the batch with one more item."""
        return replace(self, members=(*self.members, gathered))


def key_of(join: JoinBatch) -> tuple[str, str, str, str]:
    """Return the key that the executions of one batch share."""
    return join.flow_id, join.flow_version, join.step.path, join.key


_NOTHING: Final = (None, b"")


class MemoryStore:
    """A store in memory with as much as running executions need; the published contract holds for that part.

    Keys aren't deduplicated, orders aren't kept, and calls are for the steps that they name.
    """

    def __init__(self, on_commit: Callable[[Sequence[Change]], None] = lambda changes: None) -> None:
        """`on_commit` is called with each batch of changes that was written."""
        self._on_commit = on_commit
        self._executions: dict[str, Execution] = {}
        self._envelopes: dict[str, Envelope] = {}
        self._journals: dict[str, dict[int, StepRecord]] = {}
        self._waits: dict[tuple[str, str], bytes | None] = {}
        """The pages of the steps that wait."""
        self._came: dict[tuple[str, str], tuple[bytes | None, bytes]] = {}
        """The digest and payload of each callback; the digest is None if the wait timed out."""
        self._progress: dict[tuple[str, str], Progress] = {}
        self._results: dict[tuple[str, str], dict[int, bytes]] = {}
        self._state: dict[tuple[str, str], bytes] = {}
        self._batches: dict[tuple[str, str], MemoryBatch] = {}
        """By their leaders' ids, and the paths of the steps."""
        self._undo: list[Callable[[], None]] = []

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Write a batch, whole or not at all."""
        return self.write(changes)

    def write(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Write a batch now."""
        self._undo = []
        try:
            results = [self._apply(change) for change in changes]
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        self._on_commit(changes)
        return results

    async def ping(self) -> None:
        """Return at once: it always works."""

    async def execution(self, execution_id: str) -> Execution | None:
        """Return the execution."""
        return self._executions.get(execution_id)

    async def envelope(self, execution_id: str) -> Envelope | None:
        """Return its message."""
        return self._envelopes.get(execution_id)

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        """Return its entries, in order."""
        records = [record for seq, record in sorted(self._journals.get(execution_id, {}).items()) if seq > after]
        return records if limit is None else records[:limit]

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        """Return the progress of its foreach blocks."""
        return [self._progress[key] for key in sorted(self._progress) if key[0] == execution_id]

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        """See `ItemQueries.item_results`."""
        results = self._results.get((execution_id, path), {})
        return sorted(pair for pair in results.items() if pair[0] > after)[:limit]

    async def callbacks(self, execution_id: str) -> Mapping[str, bytes]:
        """Return the callbacks of its waiting steps."""
        return {
            path: payload
            for (id_, path), (digest, payload) in self._came.items()
            if id_ == execution_id and digest is not None and (id_, path) in self._waits
        }

    async def waits(self, execution_id: str) -> Sequence[str]:
        """The paths of its steps that wait."""
        return tuple(sorted(path for id_, path in self._waits if id_ == execution_id))

    async def wait_status(self, execution_id: str, path: str) -> WaitStatus:
        """Return the progress of a step's wait."""
        place = (execution_id, path)
        digest, _ = self._came.get(place, (None, b""))
        timed_out = place in self._came and digest is None
        page = self._waits.get(place)
        return WaitStatus(place in self._waits, called=digest is not None, timed_out=timed_out, page=page)

    async def batches(self, execution_id: str) -> Mapping[str, bool]:
        """Return the batches that it leads, and whether they are open."""
        return {path: batch.key is not None for (id_, path), batch in self._batches.items() if id_ == execution_id}

    async def batch_items(self, execution_id: str, path: str) -> Sequence[BatchItem]:
        """Return the items of a batch."""
        batch = self._batches.get((execution_id, path))
        return () if batch is None else batch.members

    async def state(self, flow_id: str, key: str) -> bytes | None:
        """Return a flow's value under a key."""
        return self._state.get((flow_id, key))

    def known(self, execution_id: str) -> Execution | None:
        """The execution, at once."""
        return self._executions.get(execution_id)

    def entry(self, execution_id: str, seq: int) -> StepRecord | None:
        """One entry of a journal."""
        return self._journals[execution_id].get(seq)

    def due(self, until: datetime) -> Sequence[Execution]:
        """Return the executions whose time has come."""
        return [
            one
            for one in self._executions.values()
            if one.state is State.WAITING and one.ready_at is not None and one.ready_at <= until
        ]

    def _apply(self, change: Change) -> CommitResult:
        match change:
            case Accept(envelope):
                return self._accept(envelope)
            case Start(id_, version, at, vars_, deadline):  # nobody else deploys
                self._move(id_, State.RUNNING, flow_version=version, started_at=at, vars=vars_, deadline_at=deadline)
            case Resume(id_, _, version, deadline):
                self._resume(id_, version, deadline)
            case RecordSteps(id_, steps):
                self._record(id_, steps)
            case Park():
                self._park(change)
            case End(id_, state, outcome, at, error):
                self._move(id_, state, outcome=outcome, finished_at=at, error=error, cancel_asked_at=None)
                for path in self._led_by(id_):
                    self._close(id_, path)
            case Reopen(id_, at):
                self._reopen(id_, at)
            case Cancel(id_, at, tells):
                return self._cancel(id_, at, tells)
            case BeginWait(id_, path, page=page):
                self._found(id_)
                if self._came.get((id_, path)) == _NOTHING:
                    # It waits anew.
                    self._drop(self._came, (id_, path))
                self._set(self._waits, (id_, path), page)
            case StoreCallback():
                return self._call_back(change)
            case TimeOutWait(_, id_, path, _, _, _):
                return self._time_out(id_, path)
            case EndWait(id_, path):
                self._settle(id_, path)
            case JoinBatch():
                return self._join(change)
            case CloseBatch(id_, path):
                self._close(id_, path)
            case TakeBatch(id_, path):
                self._drop(self._batches, (id_, path))
            case CheckpointItems(id_, progress, results):
                self._running(id_)
                self._set(self._progress, (id_, progress.path), progress)
                kept = self._results.get((id_, progress.path), {})
                self._set(self._results, (id_, progress.path), {**dict(results), **kept})
            case DropEntries(id_, seqs):
                self._running(id_)
                for seq in seqs:
                    self._drop(self._journals[id_], seq)
            case MarkDelivered(id_, seq, before, output):
                entry = self._journals[id_].get(seq)
                if entry is not None and entry.output == before:
                    self._set(self._journals[id_], seq, msgspec.structs.replace(entry, output=output))
            case FinishBlock(id_, path):
                self._running(id_)
                self._drop(self._progress, (id_, path))
                self._drop(self._results, (id_, path))
            case SetState(flow_id, key, value):
                self._set_state(flow_id, key, value)
            case AddState():
                return self._count(change)
            case Publish():
                pass
            case _:
                raise NotImplementedError(f"a store in memory has no {type(change).__name__}")
        return None

    def _accept(self, envelope: Envelope) -> Accepted:
        id_ = envelope.execution_id
        execution = Execution(id_, envelope.flow_id, None, State.QUEUED, None, envelope.accepted_at, None, None, 1)
        self._set(self._executions, id_, execution)
        self._set(self._envelopes, id_, envelope)
        self._set(self._journals, id_, {})
        return Accepted(id_)

    def _found(self, execution_id: str) -> Execution:
        execution = self._executions.get(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return execution

    def _running(self, execution_id: str) -> Execution:
        execution = self._found(execution_id)
        if execution.state is not State.RUNNING:
            raise IllegalStateChange(f"execution {execution_id} is {execution.state}; only one that runs gets on")
        return execution

    def _move(self, execution_id: str, state: State, **changes: Any) -> None:
        execution = self._found(execution_id)
        check_transition(execution_id, execution.state, state)
        self._replace(execution, state=state, reason=None, ready_at=None, **changes)

    def _resume(self, execution_id: str, version: str | None, deadline: datetime | None) -> None:
        execution = self._found(execution_id)
        if version is not None and execution.flow_version != version:
            raise IllegalStateChange(f"execution {execution_id} was moved to another version")
        if execution.state is not State.RUNNING:
            self._move(execution_id, State.RUNNING, deadline_at=deadline or execution.deadline_at)

    def _reopen(self, execution_id: str, at: datetime) -> None:
        execution = self._found(execution_id)
        self._move(
            execution_id,
            State.WAITING,
            outcome=None,
            finished_at=None,
            error=None,
            attempt=execution.attempt + 1,
            reopened_after=max(self._journals[execution_id], default=0),
            deadline_at=None,
        )
        self._replace(self._found(execution_id), ready_at=at, reason=RETRY)

    def _record(self, execution_id: str, steps: Sequence[StepRecord]) -> None:
        self._running(execution_id)
        journal = self._journals[execution_id]
        for step in steps:
            if step.seq in journal:
                raise IllegalStateChange(f"execution {execution_id} has an entry {step.seq} already")
            self._set(journal, step.seq, step)

    def _park(self, park: Park) -> None:
        execution_id = park.execution_id
        # A callback, or a closed batch, that came meanwhile makes it ready at once.
        came = any(
            id_ == execution_id and (id_, path) in self._waits and digest is not None
            for (id_, path), (digest, _) in self._came.items()
        )
        came = came or any(self._batches[execution_id, path].key is None for path in self._led_by(execution_id))
        came = came and not park.unloaded
        self._move(execution_id, State.WAITING)
        parked = self._found(execution_id)
        asked = parked.cancel_asked_at is not None and not park.cancelling
        self._replace(parked, ready_at=park.at if came or asked else park.ready_at, reason=park.reason)

    def _cancel(self, execution_id: str, at: datetime, tells: StoreCallback | None) -> CommitResult:
        execution = self._found(execution_id)
        if execution.state in FINAL:
            raise IllegalStateChange(f"execution {execution_id} is {execution.state}, and can't be cancelled")
        if execution.state is State.QUEUED:
            self._apply(End(execution_id, State.CANCELLED, Outcome.CANCELLED, at))
            return None if tells is None else self._apply(tells)
        ready_at = at if execution.state is State.WAITING else execution.ready_at
        self._replace(execution, cancel_asked_at=at, ready_at=ready_at)
        return None

    def _call_back(self, call: StoreCallback) -> CommitResult:
        if call.execution_id is None or call.path is None:
            raise StoreError("a store in memory takes calls for the steps that they name, and no keys")
        place = (call.execution_id, call.path)
        before = self._came.get(place)
        if before is not None:
            if before[0] is None:
                return NotWaiting()
            return CallbackRepeated(call.execution_id, identical=before[0] == call.digest)
        execution = self._executions.get(call.execution_id)
        if execution is None or execution.state in FINAL:
            return NotWaiting()
        self._set(self._came, place, (call.digest, call.payload))
        if place in self._waits and execution.state is State.WAITING:
            self._replace(execution, ready_at=call.at)
        return CallbackStored(call.execution_id)

    def _time_out(self, execution_id: str, path: str) -> CommitResult:
        before = self._came.get((execution_id, path))
        if before is not None and before[0] is not None:
            return CallbackStored(execution_id)
        self._set(self._came, (execution_id, path), _NOTHING)
        return WaitTimedOut()

    def _set_state(self, flow_id: str, key: str, value: bytes | None) -> None:
        if value is None:
            self._drop(self._state, (flow_id, key))
        else:
            self._set(self._state, (flow_id, key), value)

    def _count(self, change: AddState) -> CommitResult:
        place, known = (change.flow_id, change.key), self._state.get((change.flow_id, change.key))
        self._running(change.execution_id)
        value = counted_value(known, change.by)
        if value is None:
            return NotANumber()
        output = counted_output(value, change.step.output)
        self._record(change.execution_id, [msgspec.structs.replace(change.step, output=output)])
        self._set(self._state, place, value)
        for key, other in change.others:
            self._set_state(change.flow_id, key, other)
        return StateAdded(value)

    def _join(self, change: JoinBatch) -> BatchLed | BatchJoined:
        id_, step, key = change.execution_id, change.step, key_of(change)
        self._running(id_)
        open_ = next((batch for batch in self._batches.values() if batch.key == key), None)
        if open_ is None or not open_.takes(change):
            self._record(id_, [step])
            if open_ is not None:
                self._full(open_, step.path, change.at)
            self._set(self._batches, (id_, step.path), MemoryBatch(key, step.due_at, (change.gathered,)))
            return BatchLed(None if open_ is None else open_.leader_id)
        grown = open_.grown(change.gathered)
        leader_id, place = grown.leader_id, len(grown.members)
        output = joined_output(leader_id, place)
        last = msgspec.structs.replace(step, state=StepState.SUCCEEDED, signal=JOINED, due_at=None, output=output)
        self._record(id_, [last])
        self._set(self._batches, (leader_id, step.path), grown)
        if full := place >= change.size:
            self._full(grown, step.path, change.at)
        return BatchJoined(leader_id, place, full)

    def _full(self, batch: MemoryBatch, path: str, at: datetime) -> None:
        self._close(batch.leader_id, path)
        leader = self._found(batch.leader_id)
        if leader.state is State.WAITING:
            self._replace(leader, ready_at=at)

    def _close(self, execution_id: str, path: str) -> None:
        batch = self._batches.get((execution_id, path))
        if batch is not None:
            self._set(self._batches, (execution_id, path), batch.closed())

    def _led_by(self, execution_id: str) -> list[str]:
        return [path for id_, path in self._batches if id_ == execution_id]

    def _settle(self, execution_id: str, path: str) -> None:
        self._drop(self._waits, (execution_id, path))

    def _replace(self, execution: Execution, **changes: Any) -> None:
        self._set(self._executions, execution.id, msgspec.structs.replace(execution, **changes))

    def _set(self, values: dict[Any, Any], key: Any, value: Any) -> None:
        if key in values:
            before = values[key]
            self._undo.append(lambda: values.__setitem__(key, before))
        else:
            self._undo.append(lambda: values.pop(key))
        values[key] = value

    def _drop(self, values: dict[Any, Any], key: Any) -> None:
        if key in values:
            before = values.pop(key)
            self._undo.append(lambda: values.__setitem__(key, before))


class YieldingStore(MemoryStore):
    """A store in memory that lets the event loop do other work at each commit, for a shared loop."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Write a batch, whole or not at all."""
        await asyncio.sleep(0)
        return self.write(changes)
