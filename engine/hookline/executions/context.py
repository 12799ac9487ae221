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
from hookline.kernel.json import decode, encode, is_large, reader
from hookline.kernel.time import rfc3339
from hookline.model.execution import CALLBACK, REPLAY, RETRY, ErrorInfo, Execution, Outcome, StepRecord, StepState
from hookline.model.message import Envelope, Message
from hookline.model.waits import Callback, unpack_callback
from hookline.secrets.redaction import Redactor


@dataclass(frozen=True, slots=True, eq=False)
class InterruptionCause:
    """The reason of an interruption and the outcome that the execution gets. Compare by identity."""

    outcome: Outcome
    error: ErrorInfo | None = None


CANCELLED: Final = InterruptionCause(Outcome.CANCELLED)
"""An operator cancelled the execution."""
SUPERSEDED: Final = InterruptionCause(Outcome.CANCELLED)
"""A part of the same block failed or stopped the execution; the block continues with that."""


class Interrupted(Exception):
    """The execution must end. No `catch` handles this; each `finally` around the step runs."""

    def __init__(self, cause: InterruptionCause) -> None:
        self.cause = cause
        super().__init__(cause.outcome)


class Interruption:
    """An interruption stops the steps under it and under its children; other steps continue."""

    __slots__ = ("_children", "_cuts", "cause")

    def __init__(self) -> None:
        self.cause: InterruptionCause | None = None
        self._children: list[Interruption] = []
        self._cuts: set[_InterruptibleTask] = set()

    @contextmanager
    def child(self) -> Iterator["Interruption"]:
        """An interruption for a part of the steps."""
        inner = Interruption()
        inner.cause = self.cause
        self._children.append(inner)
        try:
            yield inner
        finally:
            self._children.remove(inner)

    def interrupt(self, cause: InterruptionCause, *, cut: bool = True) -> None:
        """Let no further step begin; `cut` also cancels running actions. The first cause counts."""
        self.cause = self.cause or cause
        for inner in self._children:
            inner.interrupt(cause, cut=cut)
        if cut:
            for each in tuple(self._cuts):
                each.fall()

    def check(self) -> None:
        """Raise Interrupted if no step may begin."""
        if self.cause is not None:
            raise Interrupted(self.cause)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Make the awaited code cancellable by an interruption, which raises Interrupted. Other cancellations
        propagate."""
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
    """The way in which a list of steps ended."""

    DONE = "done"
    FILTERED = "filtered"
    STOPPED = "stopped"
    JOINED = "joined"
    """The execution joined the batch of another one, which continues for it. Here only `finally` steps still run."""
    WAITING = "waiting"


class StepFailed(Exception):
    """A step failed, and no block or step setting handled the error."""

    def __init__(self, error: ErrorInfo, at: datetime | None = None) -> None:
        """`at`: the time of the journal entry; None if the failure is computed again."""
        self.error = error
        self.at = at
        super().__init__(error.message)


class Blocked(Exception):
    """The execution can't continue because a credential, a plugin or a flow is missing."""


@dataclass(slots=True)
class Frame:
    """The state of a list of steps: those of the flow, or those of an item of a foreach."""

    message: Message
    steps: dict[str, Any]
    """Results by step id, as expressions see them."""
    now: datetime
    """The time of the last commit before this point, so that computing a step again gives the same result."""
    prefix: str = ""
    """The beginning of the paths of its steps, such as `lines[3]/`."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """Additional names for expressions, such as `item` and `index`."""
    lenient: bool = False
    """A block around the steps handles failures, so a recorded failure is final and isn't tried again."""
    interruption: Interruption = field(default_factory=Interruption)
    """The interruption of these steps."""
    items: Mapping[str, str] = field(default_factory=dict)
    """The prefix of the current item's steps, by the pointer of each foreach around them."""
    room: int = 1000
    """The number of items up to which a foreach in this frame keeps the journal entries of all its items."""

    def branch(self, part: str, **changes: Any) -> "Frame":
        """A frame for steps inside this one, with a longer path; `changes` apply to its other fields."""
        return replace(self, prefix=f"{self.prefix}{part}/", **changes)

    def adopt(self, other: "Frame") -> None:
        """Continue from the end of a branch."""
        self.message = other.message
        self.now = max(self.now, other.now)


HookUrls: TypeAlias = Callable[[str, str], str]
"""Returns the URL of a waiting step, given the execution's id and the step's path."""


@dataclass(slots=True)
class ExecutionContext:
    """The state of an execution while it runs through its flow."""

    flow: CompiledFlow
    envelope: Envelope
    journal: Journal
    services: Services
    started_at: datetime
    attempt: int
    vars: Mapping[str, Any]
    trigger: Mapping[str, Any] = field(init=False)
    interruption: Interruption = field(default_factory=Interruption)
    """The interruption of the whole execution."""
    deadline: datetime | None = None
    """The time at which the flow's time limit ends."""
    reopened_after: int = 0
    """The number of the last journal entry before the last retry by an operator. Failures up to it are tried again."""
    waited: bool = False
    """True if one of its steps has waited for a callback."""
    ready_at: datetime | None = None
    """The time at which the first of the sleeping steps continues."""
    waits_for: str = RETRY
    """The reason that is shown while its steps wait."""
    hook_urls: HookUrls | None = None
    """None if the flow has no waiting steps."""
    arrived: Mapping[str, bytes] | None = None
    """The callbacks of waiting steps, by path, as they were read from the store."""
    wakes: list[str] = field(default_factory=list)
    """The ids of other executions of the flow that this one made ready."""
    unknown: ErrorInfo | None = None
    """The error of the first step of this run for which it isn't known whether it took effect."""
    blocked: str | None = None
    """The reason why the execution is blocked."""
    edited: Mapping[str, StepRecord] = field(default_factory=dict)
    """The edited messages that reach steps, by the paths of the steps."""
    streams: bool = False
    """True if expressions may see a stream."""
    dry: DryRun | None = None
    """The dry run that checks the journal against the flow; None for a real run."""
    redactor: Redactor | None = None
    """Masks and encrypts redacted values; None if the flow redacts nothing."""
    large: bool = False
    """True if one of its messages is large, so that evaluating expressions may take long."""
    _weighed: Any = None
    _now: datetime | None = None
    _execution: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trigger = trigger_view(self.envelope.message, self.envelope.arrival)

    @property
    def id(self) -> str:
        return self.envelope.execution_id

    def scope(self, frame: Frame) -> dict[str, Any]:
        """The names and values that expressions see in a frame."""
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
        """The URLs of the waiting steps whose path is known in this frame. Steps in another foreach are left out."""
        return {
            place.id: {"url": urls(self.id, frame.items.get(place.item_of or "", "") + place.tail)}
            for place in self.flow.wait_places
            if place.item_of is None or place.item_of in frame.items
        }

    def wait_until(self, at: datetime | None, reason: str) -> None:
        """Note that a step waits until a time; None for a callback without a time limit."""
        if at is not None and (self.ready_at is None or at < self.ready_at):
            self.ready_at = at
        if self.waits_for != CALLBACK:
            self.waits_for = reason

    def error_info(self, error: StepError, path: str) -> ErrorInfo:
        """The recorded form of a step's error, which expressions see as well."""
        return self.shown(ErrorInfo(error.error_code, error.message, path, error.retryable))

    def shown(self, error: ErrorInfo) -> ErrorInfo:
        """An error without redacted values."""
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
        """Return whether a recorded failure is final.

        It is tried again only after a retry by an operator, and only if nothing in the flow handles it.
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
        """Record a pure step, unless the journal already has the same state for it. `at` defaults to now."""
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
    """JSON of the vars with which an execution starts on a version; None if they are those of the document."""
    return None if flow.vars is flow.declared_vars else encode(flow.vars)


def vars_of(flow: CompiledFlow, execution: Execution | None) -> dict[str, Any]:
    """The vars of an execution, as they were when it was bound to its version."""
    if execution is None or execution.flow_version is None:
        return dict(flow.vars)
    if execution.vars is None:
        return dict(flow.declared_vars)
    vars: dict[str, Any] = _VARS[flow.exact].decode(execution.vars)
    return vars


_MARK: Final = "#input"


def edited_entry(
    seq: int, path: str, step_id: str, body: bytes | None, headers: dict[str, str] | None, at: datetime
) -> StepRecord:
    """The journal entry that replaces the message before a step. `body` is JSON; None leaves that part as it is."""
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
    """The path of the step whose message the entry replaces; None for other entries."""
    return record.path.removesuffix(_MARK) if record.use == REPLAY and record.path.endswith(_MARK) else None


def edited_steps(past: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """The entries of a journal that replace messages, by the paths of the steps."""
    return {path: record for record in past if (path := edited_path(record)) is not None}


def take_edited(run: ExecutionContext, record: StepRecord, frame: Frame) -> None:
    """Replace the message in a frame by that of the entry."""
    given = decode(record.output or b"{}", exact=run.flow.exact)
    message = frame.message
    frame.message = Message(given.get("body", message.body), given.get("headers", message.headers), message.attachments)
