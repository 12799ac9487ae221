"""One execution while it runs: its journal, the scope of its expressions, and where in the flow it is."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from hookline.clock import rfc3339
from hookline.errors import StepError, StoreError
from hookline.flows.compiled import CompiledFlow
from hookline.jsontypes import encode
from hookline.model.execution import CALLBACK, RETRY, ErrorInfo, StepRecord, StepState
from hookline.model.message import Envelope, Message
from hookline.ports import Change, CommitResult, Record
from hookline.runtime.interruption import Interruption
from hookline.runtime.services import Services

HookUrls: TypeAlias = Callable[[str, str], str]
"""Gives the URL of a step that waits, of an execution and the step's path."""

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

    def __init__(self, error: ErrorInfo, at: datetime | None = None) -> None:
        """`at`: when that was journalled; None where it is recomputed."""
        self.error = error
        self.at = at
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
    """A block around this takes failures: one that is journalled stands, and is no reason to try again."""
    interruption: Interruption = field(default_factory=Interruption)
    """What may tell it to end."""
    items: Mapping[str, str] = field(default_factory=dict)
    """From the pointer of each foreach around this to the prefix of the item's steps."""

    def branch(self, part: str, **changes: Any) -> "Frame":
        """A list of steps inside this one, under a longer path; `changes` are to the other fields."""
        return replace(self, prefix=f"{self.prefix}{part}/", **changes)

    def adopt(self, other: "Frame") -> None:
        """Go on from where a branch ended."""
        self.message = other.message
        self.now = max(self.now, other.now)


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
    interruption: Interruption = field(default_factory=Interruption)
    """Tells the whole of it to end."""
    deadline: datetime | None = None
    """When its time is up."""
    reopened_at_seq: int = 0
    """The journal's entry with which an operator's last retry began: failures before it are tried again."""
    waited: bool = False
    """Whether any of its steps has waited for a callback."""
    ready_at: datetime | None = None
    """When the first of the steps that wait for a time goes on."""
    waits_for: str = RETRY
    """What its steps wait for: the reason that is shown."""
    hook_urls: HookUrls | None = None
    """Gives the URLs of steps that wait; None where the flow has none."""
    arrived: Mapping[str, bytes] | None = None
    """What has come for steps that wait, by path, as far as the store was asked."""
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
        if self.hook_urls is not None:
            self._execution = {**self._execution, "hooks": self._hooks(self.hook_urls, frame)}
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

    def _hooks(self, urls: HookUrls, frame: Frame) -> dict[str, Any]:
        """The URLs of the waiting steps whose path is known here: not those in a foreach that is not around this."""
        return {
            place.id: {"url": urls(self.id, frame.items.get(place.item_of or "", "") + place.tail)}
            for place in self.flow.wait_places
            if place.item_of is None or place.item_of in frame.items
        }

    def wait_until(self, at: datetime | None, reason: str) -> None:
        """A step waits: until a time, or with None for a callback that may come at any."""
        if at is not None and (self.ready_at is None or at < self.ready_at):
            self.ready_at = at
        if self.waits_for != CALLBACK:
            self.waits_for = reason

    def stands(self, frame: Frame, past: StepRecord) -> bool:
        """Whether a failure that is journalled is no reason to try again: something takes it."""
        return frame.lenient or (bool(self.flow.on_error_steps) and past.seq > self.reopened_at_seq)

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
        error: ErrorInfo | None = None,
        at: datetime | None = None,
    ) -> None:
        """Note a step without effects; what is known of it from before stays as it is. `at` is now by default."""
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
            started_at=(at := at or self.services.clock.now()),
            finished_at=at,
            input=encode(input) if input is not None else None,
            output=encode(output) if output is not None else None,
            signal=signal,
            error=error,
        )


def error_info(error: StepError, path: str) -> ErrorInfo:
    """How a step's error is recorded."""
    return ErrorInfo(code=error.error_code, message=error.message, step=path, retryable=error.retryable)
