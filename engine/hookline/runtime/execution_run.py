"""One execution while it runs: its journal, the scope of its expressions, and where in the flow it is."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec

from hookline.clock import rfc3339
from hookline.errors import StepError, StoreError
from hookline.flows.compiled import CompiledFlow
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.model.message import Envelope, Message
from hookline.ports import Change, End, Park, Record
from hookline.runtime.services import Services

#: Seconds until what the store refused is tried again.
STORE_RETRY: Final = 5.0


class Ending(Enum):
    """How a list of steps came to its end."""

    DONE = "done"
    FILTERED = "filtered"
    STOPPED = "stopped"
    WAITING = "waiting"


class StepFailed(Exception):
    """A step failed and nothing in the flow took the error."""

    def __init__(self, error: ErrorInfo) -> None:
        self.error = error
        super().__init__(error.message)


class Blocked(Exception):
    """The execution can't go on for a cause outside it: a credential or a plugin is missing."""


@dataclass(slots=True)
class Frame:
    """Where a list of steps has got to: the flow's own, or one item's of a foreach."""

    message: Message
    steps: dict[str, Any]
    """Results by step id, as expressions see them."""
    now: datetime
    """The time of the last commit on the way here, so that recomputing gives the same."""
    prefix: str = ""
    """What comes before a step's id in its path: `lines[3]/`."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """`item`, `index` and their like."""
    lenient: bool = False
    """A block around this passes failures over: one that is journalled stands, and is no reason to try again."""

    def branch(self, part: str) -> "Frame":
        """The same place, under a longer path."""
        return Frame(self.message, self.steps, self.now, f"{self.prefix}{part}/", self.names, self.lenient)

    def adopt(self, other: "Frame") -> None:
        """Go on from where a branch ended."""
        self.message = other.message
        self.now = max(self.now, other.now)


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
        self._owing = False
        self._lock = asyncio.Lock()

    def past(self, path: str) -> StepRecord | None:
        """The last entry of a step."""
        return self._past.get(path)

    def add(self, *, effect: bool, **entry: Any) -> None:
        """Note an entry; it takes the next place. `effect`: it can't be recomputed, and must soon be durable."""
        self._owing = self._owing or effect
        record = StepRecord(seq=self._next, **entry)
        self._next += 1
        self._past[record.path] = record
        self._pending.append(record)

    def _take(self) -> tuple[Change, ...]:
        """What is not durable yet, as changes."""
        changes, self._prelude, self._owing = self._prelude, (), False
        if self._pending:
            changes += (Record(self._execution_id, tuple(self._pending)),)
            self._pending = []
        return changes

    async def flush(self) -> None:
        """Return when every entry noted so far is durable."""
        # The lock makes each caller wait for a commit under way that may hold its entries.
        async with self._lock:
            if changes := self._take():
                await self._commit(changes)

    async def settle(self) -> None:
        """Return when everything that can't be recomputed is durable."""
        if self._owing or self._lock.locked():
            await self.flush()

    async def rescue(self) -> None:
        """Try once to make durable what can't be recomputed. Raises StoreError."""
        async with self._lock:
            if self._owing:
                await self._store.commit(self._take())

    async def close(self, change: Change) -> None:
        """Return when everything is durable, and with it the change that ends the run."""
        async with self._lock:
            await self._commit((*self._take(), change))

    async def _commit(self, changes: Sequence[Change]) -> None:
        """Commit, as often as it takes: an action that has been done must not be done again because the disk is full.

        Raises IllegalStateChange, also where a commit that failed had taken place after all.
        """
        while True:
            try:
                await self._store.commit(changes)
            except StoreError as error:
                self._services.log.error(
                    "the store failed; trying again", execution_id=self._execution_id, error=error.message
                )
            else:
                break
            try:
                await self._services.clock.sleep(STORE_RETRY)
            except asyncio.CancelledError:
                self._give_back(changes)
                raise
        if self._on_begin is not None:
            self._on_begin()
            self._on_begin = None

    def _give_back(self, changes: Sequence[Change]) -> None:
        for change in reversed(changes):
            if isinstance(change, Record):
                self._pending[:0] = change.steps
                self._owing = True
            elif not isinstance(change, End | Park):
                self._prelude = (change, *self._prelude)


@dataclass(slots=True)
class ExecutionRun:
    """An execution on its way through its flow."""

    flow: CompiledFlow
    envelope: Envelope
    journal: Journal
    services: Services
    started_at: datetime
    attempt: int
    vars: Mapping[str, Any]
    trigger: Mapping[str, Any] = field(init=False)
    due: list[datetime] = field(default_factory=list)
    """When steps that wait are to be tried again."""
    blocked: str | None = None
    """What it lacks, where it can't go on."""
    _now: datetime | None = None
    _execution: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        message, arrival = self.envelope.message, self.envelope.arrival
        self.trigger = {
            "body": message.body,
            "headers": message.headers,
            "attachments": msgspec.to_builtins(list(message.attachments)) if message.attachments else [],
            "method": arrival.method,
            "path": arrival.path,
            "query": arrival.query,
            "received_at": rfc3339(arrival.received_at) if arrival.received_at else None,
            "verified_by": arrival.verified_by,
            "scheme_id": arrival.scheme_id,
        }

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.envelope.execution_id

    def scope(self, frame: Frame) -> dict[str, Any]:
        """What expressions see from here."""
        message = frame.message
        if self._now is not frame.now:
            self._now = frame.now
            self._execution = {
                "id": self.id,
                "attempt": self.attempt,
                "started_at": rfc3339(self.started_at),
                "now": rfc3339(frame.now),
            }
        return {
            "body": message.body,
            "headers": message.headers,
            "attachments": msgspec.to_builtins(list(message.attachments)) if message.attachments else [],
            "trigger": self.trigger,
            "steps": frame.steps,
            "vars": self.vars,
            "execution": self._execution,
            **frame.names,
        }

    def pure(
        self,
        frame: Frame,
        step_id: str,
        use: str,
        state: StepState,
        *,
        input: Any = None,
        output: Any = None,
        signal: str | None = None,
    ) -> None:
        """Note a step without effects; what is known of it from before stays as it is."""
        path = frame.prefix + step_id
        past = self.journal.past(path)
        if past is not None and past.state is state:
            return
        self.journal.add(
            effect=False,
            id=step_id,
            path=path,
            use=use,
            state=state,
            attempt=1,
            started_at=(at := self.services.clock.now()),
            finished_at=at,
            input=msgspec.json.encode(input) if input is not None else None,
            output=msgspec.json.encode(output) if output is not None else None,
            signal=signal,
        )


def error_info(error: StepError, path: str) -> ErrorInfo:
    """How a step's error is recorded."""
    return ErrorInfo(code=error.error_code, message=error.message, step=path, retryable=error.retryable)
