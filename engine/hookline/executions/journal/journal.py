"""The journal of an execution while it runs."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.executions.journal.item_entries import ItemEntries
from hookline.executions.journal.uncommitted import TakenWork, Uncommitted
from hookline.executions.services import Services
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.cancellation import kept, settled
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, StoreError
from hookline.kernel.json import encode
from hookline.model.batch import JOINED, joined_output
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.model.foreach_progress_and_streams import Progress
from hookline.sdk.action import STOPPED
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor
from hookline.storage.change_declarations import (
    AddState,
    BatchJoined,
    BatchLed,
    Change,
    CommitResult,
    JoinBatch,
    RecordSteps,
    SetState,
    StateAdded,
    counted_output,
)


class Journal:
    """The journal of an execution: the last entry of each step, and the entries that wait for the next commit.

    `before_effect` makes durable what can't be computed again.

    A foreach with many items keeps only the entries of running items; see `ItemEntries`.
    """

    def __init__(
        self,
        execution_id: str,
        services: Services,
        entries: Sequence[StepRecord],
        first_changes: Sequence[Change],
        on_dequeued: Callable[[], None] | None = None,
        flow_id: str = "",
        redactor: Redactor | NoRedactor = NO_REDACTOR,
        reopened_after: int = 0,
    ) -> None:
        """`entries`: those that are stored. `first_changes` go with the first commit; `on_dequeued` is called when that
        is durable: the execution has left the queue. `reopened_after`: a number that may be of an entry that was
        dropped; new entries have higher ones."""
        self._redactor = redactor
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._services = services
        self._store = services.store
        self._on_dequeued = on_dequeued
        self._last_entries = {record.path: record for record in entries}
        self._next_seq = max(reopened_after, entries[-1].seq if entries else 0) + 1
        self._uncommitted = Uncommitted(execution_id, first_changes)
        self._state_changes: dict[str, tuple[int, SetState]] = {}
        """The last change under each key, with its commit group."""
        self._entries: Final = entries
        self._items: ItemEntries | None = None
        """The entries of items of a foreach with many items; made when the first one begins."""
        self._stored_progress: dict[str, Progress] | None = None
        """The stored progress of blocks that have not continued, by path; None if it isn't read."""
        self._durable_group = 0
        """The last durable group."""
        self._rejected: IllegalStateChange | ExecutionNotFound | None = None
        """The reason why a commit was illegal: someone else has changed the execution, so that no step may act here."""
        self._lock = asyncio.Lock()
        self._next_flush: asyncio.Future[bool] | None = None
        """A flush that waits for the lock; entries added before it takes them ride along."""
        self._current_commit: asyncio.Future[bool] | None = None
        """A commit that has taken its entries; later ones are not in it. The results of this one and of the next flush
        are True once their entries are durable; on False, who waits looks again."""

    def last_entry(self, path: str) -> StepRecord | None:
        """The last entry of a step."""
        return self._last_entries.get(path)

    def began(self, prefix: str, after: int) -> datetime | None:
        """The time at which the first of the steps under a path began; None if it has no stored entry with a number
        above `after`."""
        times = (entry.started_at for entry in self._entries if entry.seq > after and entry.path.startswith(prefix))
        return min(times, default=None)

    @property
    def redactor(self) -> Redactor | NoRedactor:
        """Redacts the stored values."""
        return self._redactor

    def redact(self, redactor: Redactor | NoRedactor) -> Redactor | NoRedactor:
        """Redact new entries from now on, unless they are redacted already; return the redactor that does it.

        Its key is stored together with them.
        """
        if self._redactor is NO_REDACTOR:
            self._redactor = redactor
            key = redactor.key_change(self._execution_id)
            if key is not None:
                self.add_changes(key)
        return self._redactor

    async def add_large(
        self,
        read: Callable[[], tuple[bytes | None, bytes | None]],
        state_changes: Sequence[SetState] = (),
        *,
        recomputable: bool,
        **entry: Any,
    ) -> StepRecord:
        """Add an entry together with changes of the flow's state; `read` gives the JSON of its input and its output.

        `read` is called in a thread. The entry is added even if the caller is cancelled meanwhile. See `add` for
        `recomputable`.
        """
        return await kept(self._add_large(read, state_changes, recomputable, entry))

    async def _add_large(
        self,
        read: Callable[[], tuple[bytes | None, bytes | None]],
        state_changes: Sequence[SetState],
        recomputable: bool,
        entry: dict[str, Any],
    ) -> StepRecord:
        def made() -> tuple[StepRecord, StepRecord]:
            given, gave = read()
            record = StepRecord(seq=0, input=given, output=gave, **entry)
            return record, self._redactor.redact_entry(record)

        record, stored = await self._services.offloader.run(made, large=True)
        # Only now it is known which entries come before this one.
        seq = self._next_seq
        added = msgspec.structs.replace(record, seq=seq)
        stored = added if stored is record else msgspec.structs.replace(stored, seq=seq)
        self._add(added, stored, recomputable=recomputable)
        self.set_state(*state_changes)
        return added

    def add(self, *, recomputable: bool, **entry: Any) -> StepRecord:
        """Add an entry.

        `recomputable`: a resume can compute it again. Otherwise it is durable before the next action that isn't pure.
        """
        record = StepRecord(seq=self._next_seq, **entry)
        self._add(record, self._redactor.redact_entry(record), recomputable=recomputable)
        return record

    def record(
        self, path: str, use: str, state: StepState, attempt: int, started_at: datetime, **entry: Any
    ) -> StepRecord:
        """Add the entry of a step or block that a resume doesn't compute again, with the time of now."""
        return self.add(
            recomputable=False,
            id=path.rpartition("/")[2],
            path=path,
            use=use,
            state=state,
            attempt=attempt,
            started_at=started_at,
            finished_at=self._services.clock.now(),
            **entry,
        )

    def record_computed(
        self,
        path: str,
        use: str,
        state: StepState,
        *,
        input: Any = None,
        output: Any = None,
        signal: str | None = None,
        error: ErrorInfo | None = None,
        at: datetime | None = None,
        again: bool = False,
    ) -> None:
        """Add the entry of a step or block that is computed again on a resume, unless the last one has the same state.

        `at` defaults to now. `again`: the last entry doesn't count, as an operator's retry has made it void.
        """
        last = self._last_entries.get(path)
        if last is not None and last.state is state and not again:
            return
        self.add(
            recomputable=True,
            id=path.rpartition("/")[2],
            path=path,
            use=use,
            state=state,
            attempt=1,
            started_at=(at := at or self._services.clock.now()),
            finished_at=at,
            input=encode(input) if input is not None else None,
            output=encode(output) if output is not None else None,
            signal=signal,
            error=error,
        )

    def _add(self, record: StepRecord, stored: StepRecord, *, recomputable: bool) -> None:
        self._next_seq += 1
        uncommitted = self._uncommitted
        uncommitted.unrecomputable_pending = uncommitted.unrecomputable_pending or not recomputable
        decides = record.state is StepState.FAILED or record.signal == STOPPED.name
        uncommitted.decision_pending = uncommitted.decision_pending or decides
        self._last_entries[record.path] = record
        uncommitted.entries[record.seq] = stored
        if self._items is not None:
            self._items.note(record)

    @property
    def items(self) -> ItemEntries:
        """The entries of items of a foreach with many items."""
        if self._items is None:
            self._items = ItemEntries(self._execution_id, self._entries, self._last_entries, self._uncommitted)
        return self._items

    async def begin_foreach(self, path: str, total: int, at: datetime) -> ForeachProgress:
        """Begin or continue a foreach that doesn't keep the entries of its items; all entries before it are durable.

        `at`: the time of its start, if it starts now. Raises StoreError.
        """
        await self.flush()
        if self._stored_progress is None:
            self._stored_progress = {one.path: one for one in await self._store.progress(self._execution_id)}
        stored = self._stored_progress.pop(path, None)
        if stored is not None:
            self._redactor.resume_items()
        return self.items.begin_foreach(path, total, at, stored)

    def add_changes(self, *changes: Change) -> None:
        """Commit changes together with the entries so far."""
        self._uncommitted.add_changes(*changes)

    def set_state(self, *changes: SetState) -> None:
        """Commit changes of the flow's state together with the entries so far."""
        if changes:
            self._uncommitted.add_changes(*changes)
            self._state_changes |= {change.key: (self._uncommitted.group, change) for change in changes}

    def uncommitted_state(self, key: str) -> SetState | None:
        """The last change under a key that is not durable; a durable one is in the store."""
        group, change = self._state_changes.get(key, (0, None))
        return change if group > self._durable_group else None

    async def count(
        self, flow_id: str, key: str, by: bytes, at: datetime, *changes: SetState, **entry: Any
    ) -> StepRecord | None:
        """Add to a number in the flow's state and record the step; return its entry, whose result is the new number.

        If the stored value isn't a number, nothing is stored, and it returns None. `changes`: other values to store.
        """
        record = StepRecord(seq=self._next_seq, **entry)
        self._next_seq += 1
        # Changes of one commit have no order, so no other change of this key may be in it.
        await self.flush()
        entry_to_store = self._redactor.redact_entry(record)
        others = tuple((change.key, change.value) for change in changes)
        counted = AddState(self._execution_id, entry_to_store, flow_id, key, by, at, others)
        result = (await self._commit_all(counted))[-1]
        if not isinstance(result, StateAdded):
            return None
        record = msgspec.structs.replace(record, output=counted_output(result.value, record.output))
        self._note_committed(record)
        return record

    async def join(
        self, make: Callable[[StepRecord], JoinBatch], **entry: Any
    ) -> tuple[StepRecord, BatchLed | BatchJoined]:
        """Reach a batch step with all entries so far; return the step's entry and the result of joining.

        `make` gives the change; `entry` is that of an execution that leads the batch.
        """
        record = StepRecord(seq=self._next_seq, **entry)
        self._next_seq += 1
        result = await self.commit_with(make(self._redactor.redact_entry(record)))
        if isinstance(result, BatchJoined):
            output = joined_output(result.leader_id, result.place)
            record = msgspec.structs.replace(
                record, state=StepState.SUCCEEDED, signal=JOINED, due_at=None, output=output
            )
        elif not isinstance(result, BatchLed):
            raise TypeError(f"joining a batch gave {result!r}")
        self._note_committed(record)
        return record, result

    def _note_committed(self, record: StepRecord) -> None:
        """Add an entry that another change has written."""
        self._last_entries[record.path] = record
        if self._items is not None:
            self._items.note(record)
        if self._services.events.listening:
            done = (RecordSteps(self._execution_id, (self._redactor.redact_entry(record),)),)
            self._services.events.committed(self._flow_id, self._execution_id, done)

    async def flush(self) -> None:
        """Return when all entries so far are durable. Concurrent calls share one commit.

        Raises IllegalStateChange or ExecutionNotFound, also if it was the commit of another call that was illegal.
        """
        while True:
            if self._rejected is not None:
                raise self._rejected
            if self._next_flush is not None:
                # That flush has not yet taken its entries.
                if await asyncio.shield(self._next_flush):
                    return
            elif self._uncommitted.any:
                await self._run_flush()
                return
            elif self._current_commit is not None:
                # It may contain the caller's entries.
                if await asyncio.shield(self._current_commit):
                    return
            else:
                return

    async def _run_flush(self) -> None:
        self._next_flush = flush = asyncio.get_running_loop().create_future()
        durable = False
        try:
            if self._items is not None and self._items.blocks:
                # Concurrent items that end now share the commit.
                await asyncio.sleep(0)
            async with self._lock:
                with self._commit_in_progress():
                    self._next_flush = None
                    await self._commit(self._uncommitted.take())
            durable = True
        finally:
            if self._next_flush is flush:
                self._next_flush = None
            flush.set_result(durable)

    @contextmanager
    def _commit_in_progress(self) -> Iterator[None]:
        """Mark the time of a commit, so that others can wait for the entries that it took."""
        self._current_commit = commit = asyncio.get_running_loop().create_future()
        durable = False
        try:
            yield
            durable = True
            self._durable_group = self._uncommitted.group - 1
            if self._state_changes:
                self._state_changes = {
                    key: (group, change)
                    for key, (group, change) in self._state_changes.items()
                    if group > self._durable_group
                }
        finally:
            self._current_commit = None
            commit.set_result(durable)

    async def commit_unrecomputable(self) -> None:
        """Return when all entries that can't be computed again are durable."""
        if self._uncommitted.unrecomputable_pending or self._current_commit is not None:
            await self.flush()

    async def before_effect(self, path: str) -> None:
        """Return when a step may take effect.

        All entries that can't be computed again are durable then, and so are the start of the execution and what
        decided that this step follows. In an item of a foreach with many items only the item's own entries count,
        because the entries before the block are durable.
        """
        if self._rejected is not None:
            raise self._rejected
        item = None if self._items is None else self._items.around(path)
        if item is not None and item.group <= self._durable_group:
            return
        waiting = self._uncommitted
        due = waiting.unrecomputable_pending or waiting.decision_pending or waiting.first_changes
        if due or self._current_commit is not None:
            await self.flush()

    @property
    def unrecomputable_pending(self) -> bool:
        """True if there are entries that can't be computed again and aren't durable."""
        return self._uncommitted.unrecomputable_pending

    async def try_commit_unrecomputable(self) -> None:
        """Try once to make durable what can't be computed again.

        A failure of the store is only reported. If someone else has ended the execution, the stored state counts.
        """
        async with self._lock:
            if self._uncommitted.unrecomputable_pending:
                with suppress(StoreError, IllegalStateChange, ExecutionNotFound), self._commit_in_progress():
                    await self._commit(self._uncommitted.take(), once=True)

    async def commit_closing(self, *changes: Change) -> None:
        """Return when everything is durable, together with the changes that end or park the execution."""
        await self._commit_all(*changes)

    async def commit_with(self, change: Change) -> CommitResult:
        """Return the result of a change that is committed together with everything so far."""
        return (await self._commit_all(change))[-1]

    async def _commit_all(self, *changes: Change) -> Sequence[CommitResult]:
        """Commit everything so far together with changes; return the results, those of the changes at the end."""
        async with self._lock:
            with self._commit_in_progress():
                return await self._commit(self._uncommitted.take(), changes)

    async def _commit(
        self, taken: TakenWork, more: tuple[Change, ...] = (), *, once: bool = False
    ) -> Sequence[CommitResult]:
        """Commit, and repeat failed commits: a finished action must not run again because the disk is full.

        A cancellation is passed on once it is known whether the commit has taken place; if it hasn't, its work waits
        for another one. Raises IllegalStateChange, also if a commit that failed had taken place; with `once`,
        StoreError if the first one fails.
        """
        changes = (*taken.changes(), *more)
        while True:
            commit = asyncio.get_running_loop().create_task(self._services.commit(changes))
            cancelled = await settled(commit)
            try:
                results = commit.result()
            except StoreError as error:
                self._services.store_problem.report(error, execution_id=self._execution_id)
                if once:
                    raise
            except (IllegalStateChange, ExecutionNotFound) as error:
                self._rejected = error
                raise
            else:
                break
            try:
                if cancelled is not None:
                    raise cancelled
                await self._services.clock.sleep(STORE_RETRY)
            except asyncio.CancelledError:
                self._give_back(taken)
                raise
        self._note_durable(changes)
        if cancelled is not None:
            raise cancelled
        return results

    def _give_back(self, taken: TakenWork) -> None:
        self._uncommitted.give_back(taken)
        if self._items is not None:
            self._items.give_back(taken.progress)

    def _note_durable(self, changes: Sequence[Change]) -> None:
        if self._on_dequeued is not None:
            self._on_dequeued()
            self._on_dequeued = None
        if self._services.events.listening:
            self._services.events.committed(self._flow_id, self._execution_id, changes)
