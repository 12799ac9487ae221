"""An execution while it runs: its context, the frames of its lists of steps, and its interruption."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from hookline.executions.dry_run import DryRun
from hookline.executions.journal import Journal
from hookline.executions.services import Services
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.elements.message_scope import message_view, trigger_view
from hookline.kernel.errors import RedactedUnreadable, StepError
from hookline.kernel.json import decode, encode, is_large, reader, to_decimal
from hookline.kernel.time import rfc3339
from hookline.model.execution import CALLBACK, REPLAY, RETRY, ErrorInfo, Execution, Outcome, StepRecord, StepState
from hookline.model.message import Envelope, Message
from hookline.model.waits import Callback, unpack_callback
from hookline.secrets.redaction import Redactor


@dataclass(frozen=True, slots=True, eq=False)
class InterruptionCause:
    """Why it has to end, and as what the execution ends. Compare by identity."""

    outcome: Outcome
    error: ErrorInfo | None = None


CANCELLED: Final = InterruptionCause(Outcome.CANCELLED)
"""Somebody asked for it."""
SUPERSEDED: Final = InterruptionCause(Outcome.CANCELLED)
"""What stands beside it has failed, or stopped the execution: the block around both goes on with that."""


class Interrupted(Exception):
    """It has to end. No `catch` takes this, and each `finally` on the way out runs."""

    def __init__(self, cause: InterruptionCause) -> None:
        self.cause = cause
        super().__init__(cause.outcome)


class Interruption:
    """Reaches what runs under it, and under its children; what isn't under it goes on."""

    __slots__ = ("_children", "_cuts", "cause")

    def __init__(self) -> None:
        self.cause: InterruptionCause | None = None
        self._children: list[Interruption] = []
        self._cuts: set[_InterruptibleTask] = set()

    @contextmanager
    def child(self) -> Iterator["Interruption"]:
        """One that reaches a part of what this one does."""
        inner = Interruption()
        inner.cause = self.cause
        self._children.append(inner)
        try:
            yield inner
        finally:
            self._children.remove(inner)

    def interrupt(self, cause: InterruptionCause, *, cut: bool = True) -> None:
        """Let nothing more begin; `cut` also cuts off the actions that are under way. The first cause counts."""
        self.cause = self.cause or cause
        for inner in self._children:
            inner.interrupt(cause, cut=cut)
        if cut:
            for each in tuple(self._cuts):
                each.fall()

    def check(self) -> None:
        """Raise Interrupted where something may not begin any more."""
        if self.cause is not None:
            raise Interrupted(self.cause)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Cut off what is awaited within. Raises Interrupted in its place; a cancellation by others passes."""
        self.check()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an action runs in a task")
        cut, cancelling = _InterruptibleTask(task), task.cancelling()
        self._cuts.add(cut)
        try:
            yield
        except asyncio.CancelledError:
            if cut.fallen and task.uncancel() <= cancelling:
                raise Interrupted(self.cause or SUPERSEDED) from None
            raise
        else:
            if cut.fallen:
                task.uncancel()
        finally:
            self._cuts.discard(cut)


class _InterruptibleTask:
    __slots__ = ("_task", "fallen")

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self.fallen = False

    def fall(self) -> None:
        if not self.fallen:
            self.fallen = True
            self._task.cancel()


class Ending(Enum):
    """How a list of steps came to its end."""

    DONE = "done"
    FILTERED = "filtered"
    STOPPED = "stopped"
    JOINED = "joined"
    """The execution is part of another's batch, which goes on for it: nothing more runs here but each `finally`."""
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
    room: int = 1000
    """How many items a foreach here may have whose entries stay in the journal one by one."""

    def branch(self, part: str, **changes: Any) -> "Frame":
        """A list of steps inside this one, under a longer path; `changes` are to the other fields."""
        return replace(self, prefix=f"{self.prefix}{part}/", **changes)

    def adopt(self, other: "Frame") -> None:
        """Go on from where a branch ended."""
        self.message = other.message
        self.now = max(self.now, other.now)


HookUrls: TypeAlias = Callable[[str, str], str]
"""Gives the URL of a step that waits, of an execution and the step's path."""


@dataclass(slots=True)
class ExecutionContext:
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
    reopened_after: int = 0
    """The journal's last entry before an operator's last retry: failures up to it are tried again."""
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
    wakes: list[str] = field(default_factory=list)
    """Other executions of the flow that it has made ready."""
    unknown: ErrorInfo | None = None
    """The error of the first step of which isn't known whether it took effect, found while this ran."""
    blocked: str | None = None
    """What it lacks, where it can't go on."""
    edited: Mapping[str, StepRecord] = field(default_factory=dict)
    """What takes the place of the messages that reach steps, by their paths."""
    streams: bool = False
    """Expressions may come upon a stream."""
    dry: DryRun | None = None
    """Where nothing is to be done, but only to be seen whether the journal fits the flow."""
    redactor: Redactor | None = None
    """Masks and encrypts, if the flow redacts anything."""
    large: bool = False
    """Going through what its expressions see takes long: one of its messages so far has many values."""
    _weighed: Any = None
    _now: datetime | None = None
    _execution: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trigger = trigger_view(self.envelope.message, self.envelope.arrival)

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.envelope.execution_id

    def scope(self, frame: Frame) -> dict[str, Any]:
        """What expressions see from here."""
        message = frame.message
        if message.body is not self._weighed:
            self._weighed = message.body
            self.large = self.large or is_large(message.body)
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
            **message_view(message),
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

    def error_info(self, error: StepError, path: str) -> ErrorInfo:
        """How a step's error is recorded, and what expressions see of it."""
        return self.shown(ErrorInfo(error.error_code, error.message, path, error.retryable))

    def shown(self, error: ErrorInfo) -> ErrorInfo:
        """An error without what is redacted."""
        return error if self.redactor is None else self.redactor.mask_error(error)

    def callback(self, packed: bytes) -> Callback:
        """Unpack the callback of a waiting step. Raises Blocked if it can't be decrypted."""
        if self.services.redaction is None:
            return unpack_callback(packed)
        try:
            return self.services.redaction.decrypt_callback(packed)
        except RedactedUnreadable as error:
            raise Blocked(error.message) from error

    def keeps_failure(self, frame: Frame, past: StepRecord) -> bool:
        """Whether a failure that is journalled is no reason to try again.

        Only an operator's retry is one, and not where something in the flow takes the failure.
        """
        return frame.lenient or past.seq > self.reopened_after

    def note_pure(
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


_VARS: Final = {exact: reader(dict[str, Any], exact=exact) for exact in (False, True)}


def vars_to_store(flow: CompiledFlow) -> bytes | None:
    """JSON of the vars with which an execution starts on a version; None where they are the document's."""
    return None if flow.vars == _declared(flow) else encode(flow.vars)


def vars_of(flow: CompiledFlow, execution: Execution | None) -> dict[str, Any]:
    """The vars with which an execution was bound to its version, whatever the server's settings say by now."""
    if execution is None or execution.flow_version is None:
        return dict(flow.vars)
    if execution.vars is None:
        return _declared(flow)
    vars: dict[str, Any] = _VARS[flow.exact].decode(execution.vars)
    return vars


def _declared(flow: CompiledFlow) -> dict[str, Any]:
    declared: dict[str, Any] = to_decimal(flow.document.vars) if flow.exact else flow.document.vars
    return declared


_MARK: Final = "#input"


def edited_entry(
    seq: int, path: str, step_id: str, body: bytes | None, headers: dict[str, str] | None, at: datetime
) -> StepRecord:
    """The entry of the journal that says so. `body` is JSON; what is None stays as it comes."""
    given: dict[str, Any] = {}
    if body is not None:
        given["body"] = msgspec.Raw(body)
    if headers is not None:
        given["headers"] = headers
    return StepRecord(
        seq=seq,
        id=step_id,
        path=path + _MARK,
        use=REPLAY,
        state=StepState.SUCCEEDED,
        attempt=1,
        started_at=at,
        finished_at=at,
        output=encode(given),
    )


def edited_path(record: StepRecord) -> str | None:
    """The path of the step whose message such an entry replaces; None for other entries."""
    return record.path.removesuffix(_MARK) if record.use == REPLAY and record.path.endswith(_MARK) else None


def edited_steps(past: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """Such entries of a journal, by the paths of the steps."""
    return {path: record for record in past if (path := edited_path(record)) is not None}


def take_edited(run: ExecutionContext, record: StepRecord, frame: Frame) -> None:
    """Let the message be what the entry says."""
    given = decode(record.output or b"{}", exact=run.flow.exact)
    message = frame.message
    frame.message = Message(given.get("body", message.body), given.get("headers", message.headers), message.attachments)
