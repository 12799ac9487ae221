"""An execution's journal while it runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from hookline.errors import StoreError
from hookline.model.execution import StepRecord
from hookline.ports import Change, CommitResult, Record
from hookline.runtime.services import Services

#: Seconds until what the store refused is tried again.
STORE_RETRY: Final = 5.0


class _Owed(NamedTuple):
    """What an execution has done that is not durable yet."""

    prelude: tuple[Change, ...]
    entries: tuple[StepRecord, ...]
    beside: tuple[Change, ...]

    def changes(self, execution_id: str) -> tuple[Change, ...]:
        records = (Record(execution_id, self.entries),) if self.entries else ()
        return (*self.prelude, *records, *self.beside)


class Journal:
    """What an execution has done: the entries of its past, and those that the next commit makes durable.

    Pure steps and finished actions wait here for the next commit; `flush` is awaited before any action starts.
    """

    def __init__(
        self,
        execution_id: str,
        services: Services,
        past: Sequence[StepRecord],
        prelude: Sequence[Change],
        on_begin: Callable[[], None] | None = None,
    ) -> None:
        """`prelude` goes with the first commit; `on_begin` is called when that is durable."""
        self._execution_id = execution_id
        self._services = services
        self._store = services.store
        self._on_begin = on_begin
        self._past = {record.path: record for record in past}
        self._next = past[-1].seq + 1 if past else 1
        self._prelude: tuple[Change, ...] = tuple(prelude)
        self._pending: list[StepRecord] = []
        self._beside: list[Change] = []
        self._owing = False
        self._lock = asyncio.Lock()

    def past(self, path: str) -> StepRecord | None:
        """The last entry of a step."""
        return self._past.get(path)

    def add(self, *, effect: bool, **entry: Any) -> StepRecord:
        """Note an entry, which takes the next place; `effect`: it can't be recomputed, and must soon be durable."""
        self._owing = self._owing or effect
        record = StepRecord(seq=self._next, **entry)
        self._next += 1
        self._past[record.path] = record
        self._pending.append(record)
        return record

    def beside(self, *changes: Change) -> None:
        """Let changes become durable with the entries noted so far."""
        self._beside.extend(changes)
        self._owing = True

    def _take(self) -> _Owed:
        """What is not durable yet."""
        owed = _Owed(self._prelude, tuple(self._pending), tuple(self._beside))
        self._prelude, self._pending, self._beside, self._owing = (), [], [], False
        return owed

    async def flush(self) -> None:
        """Return when every entry noted so far is durable."""
        # The lock makes each caller wait for a commit under way that may hold its entries.
        async with self._lock:
            taken = self._take()
            if any(taken):
                await self._commit(taken)

    async def settle(self) -> None:
        """Return when everything that can't be recomputed is durable."""
        if self._owing or self._lock.locked():
            await self.flush()

    async def rescue(self) -> None:
        """Try once to make durable what can't be recomputed. Raises StoreError."""
        async with self._lock:
            if self._owing:
                await self._store.commit(self._take().changes(self._execution_id))

    async def close(self, *changes: Change) -> None:
        """Return when everything is durable, and with it the changes that end the run."""
        async with self._lock:
            await self._commit(self._take(), changes)

    async def ask(self, change: Change) -> CommitResult:
        """Return when everything is durable, and with it a change; gives what came of that."""
        async with self._lock:
            return (await self._commit(self._take(), (change,)))[-1]

    async def _commit(self, taken: _Owed, more: tuple[Change, ...] = ()) -> Sequence[CommitResult]:
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
        return results

    def _give_back(self, taken: _Owed) -> None:
        self._prelude = (*taken.prelude, *self._prelude)
        self._pending[:0] = taken.entries
        self._beside[:0] = taken.beside
        self._owing = self._owing or bool(taken.entries or taken.beside)
