"""The journal of an execution while it runs."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from hookline.executions.services import Services
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import StoreError
from hookline.model.batch import JOINED, joined_output
from hookline.model.execution import StepRecord, StepState
from hookline.model.items import Done, Progress
from hookline.sdk.action import STOPPED
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor
from hookline.storage.changes import (
    AddState,
    BatchJoined,
    BatchLed,
    Change,
    CheckpointItems,
    CommitResult,
    DropEntries,
    FinishBlock,
    JoinBatch,
    RecordSteps,
    SetDataKey,
    SetState,
    StateAdded,
    counted_output,
)


class OpenItem:
    """A running item of a foreach that doesn't keep the entries of its items."""

    __slots__ = ("blocks", "group", "inner", "paths", "seqs")

    def __init__(self) -> None:
        self.group = 0
        """The last commit group that contains an entry of the item."""
        self.seqs: list[int] = []
        self.paths: list[str] = []
        self.inner: set[str] = set()
        """The prefixes of such items inside it."""
        self.blocks: list[str] = []
        """The paths of such blocks inside it."""


class OpenItems:
    """Find the innermost open item around the path of an entry."""

    def __init__(self, past: Iterable[StepRecord]) -> None:
        self._open: dict[str, OpenItem] = {}
        self._loaded: dict[str, list[StepRecord]] = {}
        for record in past:
            end = record.path.find("]/")
            while end > 0:
                self._loaded.setdefault(record.path[: end + 2], []).append(record)
                end = record.path.find("]/", end + 2)

    def open(self, prefix: str) -> None:
        """Begin or continue an item. `prefix` begins the paths of its steps, as in `lines[3]/`."""
        item = self._open.get(prefix)
        if item is not None:
            return
        item = self._open[prefix] = OpenItem()
        for record in self._loaded.pop(prefix, ()):
            item.seqs.append(record.seq)
            item.paths.append(record.path)
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.add(prefix)

    def note(self, record: StepRecord, group: int) -> None:
        """Record an entry that belongs to a commit group."""
        if self._open and (item := self.around(record.path)) is not None:
            item.group = group
            item.seqs.append(record.seq)
            item.paths.append(record.path)

    def close(self, prefix: str) -> list[OpenItem]:
        """Finish an item; return it together with the unfinished items inside it."""
        item = self._open.pop(prefix)
        around = self.around(prefix[:-1])
        if around is not None:
            around.inner.discard(prefix)
        closed = [item]
        for inner in item.inner:
            closed += self._inside(inner)
        return closed

    def _inside(self, prefix: str) -> list[OpenItem]:
        item = self._open.pop(prefix)
        return [item, *(each for inner in item.inner for each in self._inside(inner))]

    def around(self, path: str) -> OpenItem | None:
        """The innermost item around a path."""
        end = path.rfind("]/")
        while end > 0:
            item = self._open.get(path[: end + 2])
            if item is not None:
                return item
            end = path.rfind("]/", 0, end)
        return None


#: The number of results that may wait for the next commit.
_RESULTS: Final = 500


class ForeachProgress:
    """The progress of a foreach that doesn't keep the entries of its items."""

    def __init__(self, path: str, total: int, at: datetime, stored: Progress | None) -> None:
        """`stored`: the progress before the execution was resumed."""
        self.path = path
        self.total = total
        self.done = Done(() if stored is None else stored.done)
        self.failed = 0 if stored is None else stored.failed
        self.latest = at if stored is None else max(at, stored.at)
        """The time at which the last finished item had committed its work."""
        self.stored = stored is not None
        """True if the store may have a record of it."""
        self._results: list[tuple[int, bytes]] = []

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """Finish an item; `result` is JSON of its result, if results are collected."""
        self.done.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))

    @property
    def full(self) -> bool:
        """True if its results should be committed soon, because they take up memory."""
        return len(self._results) >= _RESULTS

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """Take the progress and the results for a commit."""
        results, self._results = tuple(self._results), []
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), results

    def give_back(self, results: tuple[tuple[int, bytes], ...]) -> None:
        """Return results that were not committed."""
        self._results[:0] = results


#: The number of failed items of which the entry of the failed step is kept.
FAILED_KEPT: Final = 100


class _Uncommitted(NamedTuple):
    """The work of an execution that is not durable yet."""

    first_changes: tuple[Change, ...]
    entries: tuple[StepRecord, ...]
    other_changes: tuple[Change, ...]
    progress: tuple[CheckpointItems, ...]
    dropped: tuple[int, ...]

    def changes(self, execution_id: str) -> tuple[Change, ...]:
        records = (RecordSteps(execution_id, self.entries),) if self.entries else ()
        drops = (DropEntries(execution_id, self.dropped),) if self.dropped else ()
        return (*self.first_changes, *records, *self.other_changes, *self.progress, *drops)


class Journal:
    """The journal of an execution: the entries of its past, and those that the next commit makes durable.

    Entries wait for the next commit. `before_effect` makes durable what can't be computed again.

    A foreach with many items keeps only the entries of running items. The progress of the block replaces the entries of
    a finished item, here and in the store.
    """

    def __init__(
        self,
        execution_id: str,
        services: Services,
        entries: Sequence[StepRecord],
        first_changes: Sequence[Change],
        on_start: Callable[[], None] | None = None,
        flow_id: str = "",
        redactor: Redactor | NoRedactor = NO_REDACTOR,
    ) -> None:
        """`entries`: those that are stored. `first_changes` go with the first commit; `on_start` is called when that is
        durable."""
        self._redactor = redactor
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._services = services
        self._store = services.store
        self._on_start = on_start
        self._last_entries = {record.path: record for record in entries}
        self._next_seq = entries[-1].seq + 1 if entries else 1
        self._first_changes: tuple[Change, ...] = tuple(first_changes)
        self._pending: dict[int, StepRecord] = {}
        self._other_changes: list[Change] = []
        self._state_changes: dict[str, tuple[int, SetState]] = {}
        self._items = OpenItems(entries)
        self._stored: dict[str, Progress] | None = None
        self._blocks: dict[str, ForeachProgress] = {}
        self._changed_progress: dict[str, ForeachProgress] = {}
        self._dropped: list[int] = []
        self._effects_pending = False
        self._decision_pending = False
        """There are entries that decide which steps follow, such as the failure that ended a block first."""
        self._group = 1
        """The group of the next commit, which new entries belong to."""
        self._durable_group = 0
        """The last durable group."""
        self._lock = asyncio.Lock()
        self._next_flush: asyncio.Future[bool] | None = None
        """The next flush, which takes all entries until then; its result tells whether they are durable."""
        self._current_commit: asyncio.Future[bool] | None = None
        """The flush that has taken its entries and commits them."""

    def last_entry(self, path: str) -> StepRecord | None:
        """The last entry of a step."""
        return self._last_entries.get(path)

    @property
    def redactor(self) -> Redactor | NoRedactor:
        """Redacts the stored values."""
        return self._redactor

    def redact(self, redactor: Redactor | NoRedactor) -> Redactor | NoRedactor:
        """Redact new entries from now on, unless they are redacted already; return the redactor that does it.

        Its key is stored together with them.
        """
        if isinstance(self._redactor, Redactor) or isinstance(redactor, NoRedactor):
            return self._redactor
        self._redactor = redactor
        self.add_changes(SetDataKey(self._execution_id, redactor.data_key))
        return redactor

    async def add_large(
        self,
        read: Callable[[], tuple[bytes | None, bytes | None]],
        state_changes: Sequence[SetState] = (),
        *,
        effect: bool,
        **entry: Any,
    ) -> StepRecord:
        """Add an entry together with changes of the flow's state; `read` gives the JSON of its input and its output.

        `read` is called in a thread. The entry is added even if the caller is cancelled meanwhile.
        """
        return await shielded(self._add_large(read, state_changes, effect, entry))

    async def _add_large(
        self,
        read: Callable[[], tuple[bytes | None, bytes | None]],
        state_changes: Sequence[SetState],
        effect: bool,
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
        self._add(added, added if stored is record else msgspec.structs.replace(stored, seq=seq), effect=effect)
        self.set_state(*state_changes)
        return added

    def add(self, *, effect: bool, **entry: Any) -> StepRecord:
        """Add an entry; `effect`: it can't be computed again and must soon be durable."""
        record = StepRecord(seq=self._next_seq, **entry)
        self._add(record, self._redactor.redact_entry(record), effect=effect)
        return record

    def _add(self, record: StepRecord, stored: StepRecord, *, effect: bool) -> None:
        self._next_seq += 1
        self._effects_pending = self._effects_pending or effect
        self._decision_pending = (
            self._decision_pending or record.state is StepState.FAILED or record.signal == STOPPED.name
        )
        self._last_entries[record.path] = record
        self._pending[record.seq] = stored
        self._items.note(record, self._group)

    def items_of(self, path: str) -> set[int]:
        """The indexes of the items of a foreach that have entries."""
        start = f"{path}["
        return {int(one[len(start) :].partition("]")[0]) for one in self._last_entries if one.startswith(start)}

    async def block(self, path: str, total: int, at: datetime) -> ForeachProgress:
        """The progress of a foreach that doesn't keep the entries of its items. `at`: the time of its start, if it
        starts now."""
        await self.flush()
        if self._stored is None:
            self._stored = {one.path: one for one in await self._store.progress(self._execution_id)}
        stored = self._stored.pop(path, None)
        if stored is not None:
            self._redactor.resume_items()
        block = self._blocks[path] = ForeachProgress(path, total, at, stored)
        around = self._items.around(path)
        if around is not None:
            around.blocks.append(path)
        return block

    def open_item(self, prefix: str) -> None:
        """Begin or continue an item of such a block."""
        self._items.open(prefix)

    def close_item(
        self, block: ForeachProgress, prefix: str, index: int, at: datetime, *, result: bytes | None, failed: str | None
    ) -> None:
        """Finish an item of such a block and drop its entries, except that of the failed step for the first failures.

        `result`: JSON of its result, if results are collected. `failed`: the path of the failed step.
        """
        kept = self._last_entries.get(failed) if failed is not None and block.failed < FAILED_KEPT else None
        for item in self._items.close(prefix):
            for path in item.paths:
                self._last_entries.pop(path, None)
            for seq in item.seqs:
                if kept is not None and seq == kept.seq:
                    continue
                if self._pending.pop(seq, None) is None:
                    self._dropped.append(seq)
            for path in item.blocks:
                self._forget(path)
        if kept is not None:
            # It is dropped together with the item around it.
            self._items.note(kept, self._group)
        block.finish(index, at, result=result, failed=failed is not None)
        self._changed_progress[block.path] = block
        self._effects_pending = self._effects_pending or block.full

    def conclude(self, block: ForeachProgress) -> None:
        """Finish such a block: with the entries so far, drop its progress and its results."""
        self._forget(block.path)

    def _forget(self, path: str) -> None:
        block = self._blocks.pop(path, None)
        self._changed_progress.pop(path, None)
        if block is not None and block.stored:
            self.add_changes(FinishBlock(self._execution_id, path))

    def add_changes(self, *changes: Change) -> None:
        """Commit changes together with the entries so far."""
        self._other_changes.extend(changes)
        self._effects_pending = True

    def set_state(self, *changes: SetState) -> None:
        """Commit changes of the flow's state together with the entries so far."""
        if changes:
            self.add_changes(*changes)
            self._state_changes |= {change.key: (self._group, change) for change in changes}

    def uncommitted_state(self, key: str) -> SetState | None:
        """The last change under a key that is not durable; a durable one is in the store."""
        group, change = self._state_changes.get(key, (0, None))
        return change if group > self._durable_group else None

    async def count(
        self, flow_id: str, key: str, by: bytes, at: datetime, *changes: SetState, **entry: Any
    ) -> StepRecord | None:
        """Add to a number in the flow's state and record the step; return its entry, whose result is the new number.

        Returns None without an entry if the stored value isn't a number. `changes` are committed with it.
        """
        record = StepRecord(seq=self._next_seq, **entry)
        self._next_seq += 1
        # Changes of one commit have no order, so no other change of this key may be in it.
        await self.flush()
        counted = AddState(self._execution_id, self._redactor.redact_entry(record), flow_id, key, by, at)
        result = (await self._commit_all(*changes, counted))[-1]
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
        self._items.note(record, self._group)
        if self._services.events.listening:
            done = (RecordSteps(self._execution_id, (self._redactor.redact_entry(record),)),)
            self._services.events.committed(self._flow_id, self._execution_id, done)

    def _anything(self) -> bool:
        """Return whether there is work that no commit has taken."""
        return bool(
            self._first_changes or self._pending or self._other_changes or self._changed_progress or self._dropped
        )

    def _take(self) -> _Uncommitted:
        """Take the work that is not durable yet."""
        progress = tuple(
            CheckpointItems(self._execution_id, *block.take()) for block in self._changed_progress.values()
        )
        entries, others, dropped = tuple(self._pending.values()), tuple(self._other_changes), tuple(self._dropped)
        taken = _Uncommitted(self._first_changes, entries, others, progress, dropped)
        self._group += 1
        self._first_changes, self._pending, self._other_changes, self._effects_pending, self._decision_pending = (
            (),
            {},
            [],
            False,
            False,
        )
        self._changed_progress, self._dropped = {}, []
        return taken

    async def flush(self) -> None:
        """Return when all entries so far are durable. Concurrent calls share one commit."""
        while True:
            if self._next_flush is not None:
                # That flush has not yet taken its entries.
                if await asyncio.shield(self._next_flush):
                    return
            elif self._anything():
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
            if self._blocks:
                # Concurrent items that end now share the commit.
                await asyncio.sleep(0)
            async with self._lock:
                with self._commit_in_progress():
                    self._next_flush = None
                    await self._commit(self._take())
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
            self._durable_group = self._group - 1
            if self._state_changes:
                self._state_changes = {
                    key: (group, change)
                    for key, (group, change) in self._state_changes.items()
                    if group > self._durable_group
                }
        finally:
            self._current_commit = None
            commit.set_result(durable)

    async def commit_effects(self) -> None:
        """Return when all entries that can't be computed again are durable."""
        if self._effects_pending or self._current_commit is not None:
            await self.flush()

    async def before_effect(self, path: str) -> None:
        """Return when a step may take effect.

        All entries that can't be computed again are durable then, and so are the start of the execution and what
        decided that this step follows. In an item of a foreach with many items only the item's own entries count,
        because the entries before the block are durable.
        """
        item = self._items.around(path)
        if item is not None and item.group <= self._durable_group:
            return
        decided = self._first_changes or self._decision_pending
        if self._effects_pending or decided or self._current_commit is not None:
            await self.flush()

    @property
    def effects_pending(self) -> bool:
        """True if there are entries that can't be computed again and aren't durable."""
        return self._effects_pending

    async def try_commit_effects(self) -> None:
        """Try once to make durable what can't be computed again. Raises StoreError."""
        async with self._lock:
            with self._commit_in_progress():
                if self._effects_pending:
                    await self._store.commit(self._take().changes(self._execution_id))

    async def close(self, *changes: Change) -> None:
        """Return when everything is durable, together with the changes that end the run."""
        await self._commit_all(*changes)

    async def commit_with(self, change: Change) -> CommitResult:
        """Return the result of a change that is committed together with everything so far."""
        return (await self._commit_all(change))[-1]

    async def _commit_all(self, *changes: Change) -> Sequence[CommitResult]:
        """Commit everything so far together with changes; return the results, those of the changes at the end."""
        async with self._lock:
            with self._commit_in_progress():
                return await self._commit(self._take(), changes)

    async def _commit(self, taken: _Uncommitted, more: tuple[Change, ...] = ()) -> Sequence[CommitResult]:
        """Commit, and repeat failed commits: a finished action must not run again because the disk is full.

        Raises IllegalStateChange, also if a commit that failed had taken place.
        """
        changes = (*taken.changes(self._execution_id), *more)
        while True:
            try:
                results = await self._store.commit(changes)
            except StoreError as error:
                self._services.store_problem.report(error, execution_id=self._execution_id)
            else:
                break
            try:
                await self._services.clock.sleep(STORE_RETRY)
            except asyncio.CancelledError:
                self._give_back(taken)
                raise
        if self._on_start is not None:
            self._on_start()
            self._on_start = None
        if self._services.events.listening:
            self._services.events.committed(self._flow_id, self._execution_id, changes)
        return results

    def _give_back(self, taken: _Uncommitted) -> None:
        self._first_changes = (*taken.first_changes, *self._first_changes)
        self._pending = {record.seq: record for record in taken.entries} | self._pending
        self._other_changes[:0] = taken.other_changes
        for checkpoint in taken.progress:
            block = self._blocks.get(checkpoint.progress.path)
            if block is not None:
                block.give_back(checkpoint.results)
                self._changed_progress[block.path] = block
        self._dropped[:0] = taken.dropped
        self._effects_pending = self._effects_pending or bool(taken.entries or taken.other_changes or taken.progress)
        self._decision_pending = self._decision_pending or bool(taken.entries)
