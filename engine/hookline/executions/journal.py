"""An execution's journal while it runs."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from hookline.executions.services import Services
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import StoreError
from hookline.model.batch import JOINED, joined_output
from hookline.model.execution import StepRecord, StepState
from hookline.model.items import Done, Progress
from hookline.secrets.redaction import Redactor
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
    """An item under way of a foreach whose items are not kept one by one."""

    __slots__ = ("blocks", "group", "inner", "paths", "seqs")

    def __init__(self) -> None:
        self.group = 0
        """The last group of what is committed together that has an entry of it."""
        self.seqs: list[int] = []
        self.paths: list[str] = []
        self.inner: set[str] = set()
        """Prefixes of such items inside it."""
        self.blocks: list[str] = []
        """Paths of such blocks inside it."""


class OpenItems:
    """Finds the item that an entry belongs to: the innermost one around its path."""

    def __init__(self, past: Iterable[StepRecord]) -> None:
        self._open: dict[str, OpenItem] = {}
        self._loaded: dict[str, list[StepRecord]] = {}
        for record in past:
            end = record.path.find("]/")
            while end > 0:
                self._loaded.setdefault(record.path[: end + 2], []).append(record)
                end = record.path.find("]/", end + 2)

    def open(self, prefix: str) -> None:
        """An item begins, or goes on: `prefix` is that of its steps' paths, as in `lines[3]/`."""
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
        """An entry is added, in a group of what is committed together."""
        if self._open and (item := self.around(record.path)) is not None:
            item.group = group
            item.seqs.append(record.seq)
            item.paths.append(record.path)

    def close(self, prefix: str) -> list[OpenItem]:
        """An item is done: it, and those inside it that were not closed."""
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
        """The innermost item that a path is in."""
        end = path.rfind("]/")
        while end > 0:
            item = self._open.get(path[: end + 2])
            if item is not None:
                return item
            end = path.rfind("]/", 0, end)
        return None


#: Results that may wait for the next commit, where nothing else asks for one.
_RESULTS: Final = 500


class ForeachProgress:
    """Of one foreach whose items are not kept one by one."""

    def __init__(self, path: str, total: int, at: datetime, stored: Progress | None) -> None:
        """`stored`: how far it had got when the execution was resumed."""
        self.path = path
        self.total = total
        self.done = Done(() if stored is None else stored.done)
        self.failed = 0 if stored is None else stored.failed
        self.latest = at if stored is None else max(at, stored.at)
        """When the last of its items had committed what it did."""
        self.stored = stored is not None
        """Whether the store may know of it."""
        self._results: list[tuple[int, bytes]] = []

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """An item is done; `result` is JSON of what it gave, where that is collected."""
        self.done.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))

    @property
    def full(self) -> bool:
        """Whether its results should soon be committed, lest they fill the memory."""
        return len(self._results) >= _RESULTS

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """What is to be committed."""
        results, self._results = tuple(self._results), []
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), results

    def give_back(self, results: tuple[tuple[int, bytes], ...]) -> None:
        """What was taken wasn't committed."""
        self._results[:0] = results


#: Of how many items that failed the entry of the step that did stays.
FAILED_KEPT: Final = 100


class _Uncommitted(NamedTuple):
    """What an execution has done that is not durable yet."""

    prelude: tuple[Change, ...]
    entries: tuple[StepRecord, ...]
    beside: tuple[Change, ...]
    proceeds: tuple[CheckpointItems, ...]
    dropped: tuple[int, ...]

    def changes(self, execution_id: str) -> tuple[Change, ...]:
        records = (RecordSteps(execution_id, self.entries),) if self.entries else ()
        drops = (DropEntries(execution_id, self.dropped),) if self.dropped else ()
        return (*self.prelude, *records, *self.beside, *self.proceeds, *drops)


class Journal:
    """What an execution has done: the entries of its past, and those that the next commit makes durable.

    Pure steps and finished actions wait here for the next commit; `flush` is awaited before any action starts.

    Of a foreach with many items only those have entries that are under way: when one is done, the block's progress
    takes their place, here and in the store.
    """

    def __init__(
        self,
        execution_id: str,
        services: Services,
        past: Sequence[StepRecord],
        prelude: Sequence[Change],
        on_begin: Callable[[], None] | None = None,
        flow_id: str = "",
        redactor: Redactor | None = None,
    ) -> None:
        """`prelude` goes with the first commit; `on_begin` is called when that is durable.

        `redactor`: what is stored goes through it, where the flow redacts anything.
        """
        self._redactor = redactor
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._services = services
        self._store = services.store
        self._on_begin = on_begin
        self._past = {record.path: record for record in past}
        self._next = past[-1].seq + 1 if past else 1
        self._prelude: tuple[Change, ...] = tuple(prelude)
        self._pending: dict[int, StepRecord] = {}
        self._beside: list[Change] = []
        self._kept: dict[str, tuple[int, SetState]] = {}
        self._items = OpenItems(past)
        self._stored: dict[str, Progress] | None = None
        self._blocks: dict[str, ForeachProgress] = {}
        self._moved: dict[str, ForeachProgress] = {}
        self._dropped: list[int] = []
        self._owing = False
        self._group = 1
        """What is noted now is of this group: of what the next commit takes."""
        self._durable = 0
        """The last group that is durable."""
        self._lock = asyncio.Lock()
        self._joined: asyncio.Future[bool] | None = None
        """The next flush, which will take what is noted until then; gives whether that is durable."""
        self._under_way: asyncio.Future[bool] | None = None
        """The flush that has taken what it commits."""

    def past(self, path: str) -> StepRecord | None:
        """The last entry of a step."""
        return self._past.get(path)

    def add(self, *, effect: bool, **entry: Any) -> StepRecord:
        """Note an entry, which takes the next place; `effect`: it can't be recomputed, and must soon be durable."""
        self._owing = self._owing or effect
        record = StepRecord(seq=self._next, **entry)
        self._next += 1
        self._past[record.path] = record
        self._pending[record.seq] = self._stored_form(record)
        self._items.note(record, self._group)
        return record

    def redact(self, redactor: Redactor) -> None:
        """Let what is noted from now on go through a redactor, whose key is kept with it."""
        self._redactor = redactor
        self.beside(SetDataKey(self._execution_id, redactor.data_key))

    def _stored_form(self, record: StepRecord) -> StepRecord:
        return record if self._redactor is None else self._redactor.redact_entry(record)

    def items_of(self, path: str) -> set[int]:
        """The items of a foreach of which there are entries, by their places."""
        start = f"{path}["
        return {int(one[len(start) :].partition("]")[0]) for one in self._past if one.startswith(start)}

    async def block(self, path: str, total: int, at: datetime) -> ForeachProgress:
        """How far a foreach has got whose items are not kept one by one; `at` is when it began, where it begins now."""
        await self.flush()
        if self._stored is None:
            self._stored = {one.path: one for one in await self._store.progress(self._execution_id)}
        stored = self._stored.pop(path, None)
        if stored is not None and self._redactor is not None:
            self._redactor.resume_items()
        block = self._blocks[path] = ForeachProgress(path, total, at, stored)
        around = self._items.around(path)
        if around is not None:
            around.blocks.append(path)
        return block

    def open_item(self, prefix: str) -> None:
        """An item of such a block begins, or goes on."""
        self._items.open(prefix)

    def close_item(
        self, block: ForeachProgress, prefix: str, index: int, at: datetime, *, result: bytes | None, failed: str | None
    ) -> None:
        """An item of such a block is done: its entries go, but for that of the step that failed, of the first ones.

        `result`: JSON of what it gave, where that is collected. `failed`: the path of what failed.
        """
        kept = self._past.get(failed) if failed is not None and block.failed < FAILED_KEPT else None
        for item in self._items.close(prefix):
            for path in item.paths:
                self._past.pop(path, None)
            for seq in item.seqs:
                if kept is not None and seq == kept.seq:
                    continue
                if self._pending.pop(seq, None) is None:
                    self._dropped.append(seq)
            for path in item.blocks:
                self._forget(path)
        if kept is not None:
            # It goes with the item around this, where there is one.
            self._items.note(kept, self._group)
        block.finish(index, at, result=result, failed=failed is not None)
        self._moved[block.path] = block
        self._owing = self._owing or block.full

    def conclude(self, block: ForeachProgress) -> None:
        """Such a block has come to its end: with the entries noted so far its progress and its results go."""
        self._forget(block.path)

    def _forget(self, path: str) -> None:
        block = self._blocks.pop(path, None)
        self._moved.pop(path, None)
        if block is not None and block.stored:
            self.beside(FinishBlock(self._execution_id, path))

    def beside(self, *changes: Change) -> None:
        """Let changes become durable with the entries noted so far."""
        self._beside.extend(changes)
        self._owing = True

    def keep(self, *changes: SetState) -> None:
        """Let what the flow keeps change with the entries noted so far."""
        if changes:
            self.beside(*changes)
            self._kept |= {change.key: (self._group, change) for change in changes}

    def kept(self, key: str) -> SetState | None:
        """The last change under a key, unless it is durable: then the store knows what there is now."""
        group, change = self._kept.get(key, (0, None))
        return change if group > self._durable else None

    async def count(
        self, flow_id: str, key: str, by: bytes, at: datetime, *changes: SetState, **entry: Any
    ) -> StepRecord | None:
        """Let a number grow that the flow keeps, with the step's entry, which is given: its result is the new number.

        None where what is kept is no number: then there is no entry either. `changes` are durable with it.
        """
        record = StepRecord(seq=self._next, **entry)
        self._next += 1
        # So that no change under the same key is in one commit with it, which gives them no order.
        await self.flush()
        counted = AddState(self._execution_id, self._stored_form(record), flow_id, key, by, at)
        async with self._lock:
            with self._taking():
                result = (await self._commit(self._take(), (*changes, counted)))[-1]
        if not isinstance(result, StateAdded):
            return None
        record = msgspec.structs.replace(record, output=counted_output(result.value, record.output))
        self._past[record.path] = record
        self._items.note(record, self._group)
        if self._services.events.listening:
            done = (RecordSteps(self._execution_id, (self._stored_form(record),)),)
            self._services.events.committed(self._flow_id, self._execution_id, done)
        return record

    async def join(
        self, make: Callable[[StepRecord], JoinBatch], **entry: Any
    ) -> tuple[StepRecord, BatchLed | BatchJoined]:
        """Come to a step that gathers, with everything noted so far; gives the step's entry, and what came of it.

        `make` gives the change; `entry` is as it is where the execution leads.
        """
        record = StepRecord(seq=self._next, **entry)
        self._next += 1
        result = await self.ask(make(self._stored_form(record)))
        if isinstance(result, BatchJoined):
            output = joined_output(result.leader_id, result.place)
            record = msgspec.structs.replace(
                record, state=StepState.SUCCEEDED, signal=JOINED, due_at=None, output=output
            )
        elif not isinstance(result, BatchLed):
            raise TypeError(f"joining a batch gave {result!r}")
        self._past[record.path] = record
        self._items.note(record, self._group)
        if self._services.events.listening:
            done = (RecordSteps(self._execution_id, (self._stored_form(record),)),)
            self._services.events.committed(self._flow_id, self._execution_id, done)
        return record, result

    def _anything(self) -> bool:
        """Whether there is anything that is not durable yet, and that no commit under way has."""
        return bool(self._prelude or self._pending or self._beside or self._moved or self._dropped)

    def _take(self) -> _Uncommitted:
        """What is not durable yet."""
        proceeds = tuple(CheckpointItems(self._execution_id, *block.take()) for block in self._moved.values())
        entries, beside, dropped = tuple(self._pending.values()), tuple(self._beside), tuple(self._dropped)
        owed = _Uncommitted(self._prelude, entries, beside, proceeds, dropped)
        self._group += 1
        self._prelude, self._pending, self._beside, self._owing = (), {}, [], False
        self._moved, self._dropped = {}, []
        return owed

    async def flush(self, path: str | None = None) -> None:
        """Return when every entry noted so far is durable. What several ask for at one time is one commit.

        `path`: that of a step which is to begin. In an item of a foreach with many, only the item's own entries count:
        what was noted before the block is durable since that began.
        """
        if path is not None and (item := self._items.around(path)) is not None and item.group <= self._durable:
            return
        while True:
            if self._joined is not None:
                # It has yet to take what it commits.
                if await asyncio.shield(self._joined):
                    return
            elif self._anything():
                await self._lead()
                return
            elif self._under_way is not None:
                # It may hold the caller's entries.
                if await asyncio.shield(self._under_way):
                    return
            else:
                return

    async def _lead(self) -> None:
        self._joined = joined = asyncio.get_running_loop().create_future()
        durable = False
        try:
            if self._blocks:
                # Items side by side, and those that end now are to share the commit.
                await asyncio.sleep(0)
            async with self._lock:
                with self._taking():
                    self._joined = None
                    await self._commit(self._take())
            durable = True
        finally:
            if self._joined is joined:
                self._joined = None
            joined.set_result(durable)

    @contextmanager
    def _taking(self) -> Iterator[None]:
        """While what was taken is committed: who has noted some of it may wait for that."""
        self._under_way = under_way = asyncio.get_running_loop().create_future()
        durable = False
        try:
            yield
            durable = True
            self._durable = self._group - 1
            if self._kept:
                self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > self._durable}
        finally:
            self._under_way = None
            under_way.set_result(durable)

    async def settle(self) -> None:
        """Return when everything that can't be recomputed is durable."""
        if self._owing or self._under_way is not None:
            await self.flush()

    @property
    def owing(self) -> bool:
        """Whether it holds what can't be recomputed, and isn't durable yet."""
        return self._owing

    async def rescue(self) -> None:
        """Try once to make durable what can't be recomputed. Raises StoreError."""
        async with self._lock:
            with self._taking():
                if self._owing:
                    await self._store.commit(self._take().changes(self._execution_id))

    async def close(self, *changes: Change) -> None:
        """Return when everything is durable, and with it the changes that end the run."""
        async with self._lock:
            with self._taking():
                await self._commit(self._take(), changes)

    async def ask(self, change: Change) -> CommitResult:
        """Return when everything is durable, and with it a change; gives what came of that."""
        async with self._lock:
            with self._taking():
                return (await self._commit(self._take(), (change,)))[-1]

    async def _commit(self, taken: _Uncommitted, more: tuple[Change, ...] = ()) -> Sequence[CommitResult]:
        """Commit, as often as it takes: an action that has been done must not be done again because the disk is full.

        Raises IllegalStateChange, also where a commit that failed had taken place after all.
        """
        changes = (*taken.changes(self._execution_id), *more)
        while True:
            try:
                results = await self._store.commit(changes)
            except StoreError as error:
                self._services.log.error(
                    "the store failed; trying again", execution_id=self._execution_id, error=error.message
                )
            else:
                break
            try:
                await self._services.clock.sleep(STORE_RETRY)
            except asyncio.CancelledError:
                self._give_back(taken)
                raise
        if self._on_begin is not None:
            self._on_begin()
            self._on_begin = None
        if self._services.events.listening:
            self._services.events.committed(self._flow_id, self._execution_id, changes)
        return results

    def _give_back(self, taken: _Uncommitted) -> None:
        self._prelude = (*taken.prelude, *self._prelude)
        self._pending = {record.seq: record for record in taken.entries} | self._pending
        self._beside[:0] = taken.beside
        for proceed in taken.proceeds:
            block = self._blocks.get(proceed.progress.path)
            if block is not None:
                block.give_back(proceed.results)
                self._moved[block.path] = block
        self._dropped[:0] = taken.dropped
        self._owing = self._owing or bool(taken.entries or taken.beside or taken.proceeds)
