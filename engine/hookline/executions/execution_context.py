"""An execution while it runs: its context, and the frames of its lists of steps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from hookline.executions.execution_progress import ExecutionProgress
from hookline.executions.interruption import Interruption
from hookline.executions.journal.journal import Journal
from hookline.executions.services import Services
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.message_scope import trigger_view
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import RedactedUnreadable, StepError
from hookline.model.callbacks_and_pages import Callback
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.model.message import Envelope, Message
from hookline.sdk.action import FILTERED, STOPPED, Reply
from hookline.secrets.redaction import NoRedactor, Redactor


class Ending(Enum):
    """The way in which a list of steps ended."""

    DONE = "done"
    FILTERED = "filtered"
    STOPPED = "stopped"
    JOINED = "joined"
    """The execution joined the batch of another one, which continues for it. Here only `finally` steps still run."""
    WAITING = "waiting"
    """It hasn't ended: a step of it waits, or is blocked."""

    @classmethod
    def after(cls, signal: str | None) -> "Ending":
        """Return the ending of a list of steps after a step that ended with this signal."""
        if signal == FILTERED.name:
            return cls.FILTERED
        return cls.STOPPED if signal == STOPPED.name else cls.DONE


class StepFailed(Exception):
    """A step failed, and no block or step setting handled the error."""

    def __init__(self, error: ErrorInfo, at: datetime | None = None) -> None:
        """`at`: the time of the journal entry; None if the failure is computed again."""
        self.error = error
        self.at = at
        super().__init__(error.message)


class FailingStep(Protocol):
    """A step whose failure the flow may continue after."""

    @property
    def id(self) -> str: ...

    @property
    def on_error(self) -> Literal["fail", "continue"]: ...


class Blocked(Exception):
    """The execution can't continue because a credential, a plugin or a flow is missing."""


class StepGate:
    """Lets a run go on: each method returns True to go on, False to end the run there.

    The gate of a real run is always open; see `DryRun` for the other one.
    """

    __slots__ = ()

    def may_reach(self, path: str, step: CompiledStep) -> bool:
        """Return whether the run may go on to a step; in a real run, always True."""
        return True

    def may_enter_foreach(self, path: str, total: int, *, many: bool) -> bool:
        """Return whether the run may go on to the items of a foreach; in a real run, always True.

        `many`: their entries aren't kept.
        """
        return True

    def may_act(self, path: str) -> bool:
        """Return whether the run may take effect, or wait, at a step; in a real run, always True."""
        return True

    def mark_reached_later(self, prefix: str, steps: Sequence[CompiledStep]) -> None:
        """Note that these steps will be reached later, although the run waits before them now. Does nothing in a real
        run."""


OPEN: Final = StepGate()


@dataclass(slots=True)
class Frame:
    """The state of a list of steps: those of the flow, or those of an item of a foreach."""

    message: Message
    steps: dict[str, Any]
    """Results by step id, as expressions see them."""
    now: datetime
    """The time of the last entry before this point that isn't computed again, at first of the start: a step that is
    computed again sees the same time."""
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

    def continue_after(self, error: ErrorInfo | None, step_id: str, at: datetime) -> Ending:
        """Record a step's error for expressions, and continue with the message before the step."""
        self.steps[step_id] = {"body": self.message.body, "error": msgspec.to_builtins(error)}
        self.now = at
        return Ending.DONE

    def end_failed_step(self, step: FailingStep, error: ErrorInfo, at: datetime) -> Ending:
        """Continue after a step that has failed, if its `on_error` says so. Raises StepFailed otherwise."""
        if step.on_error == "continue":
            return self.continue_after(error, step.id, at)
        raise StepFailed(error, at)

    def adopt(self, other: "Frame") -> None:
        """Continue from the end of a branch."""
        self.message = other.message
        self.now = max(self.now, other.now)


def next_message(message: Message, result: Reply) -> tuple[Message, dict[str, Any]]:
    """The message after a step with this result, and the step's output: the result as expressions see it.

    `message`: the one before the step, whose attachments stay if the result has none of its own.
    """
    attachments = message.attachments if result.attachments is None else result.attachments
    output: dict[str, Any] = {"body": result.body}
    if result.headers:
        output["headers"] = result.headers
    if attachments:
        output["attachments"] = msgspec.to_builtins(list(attachments))
    output.update(result.extra)
    return Message(result.body, dict(result.headers), attachments), output


HookUrls: TypeAlias = Callable[[str, str], str]
"""Returns the URL of a waiting step, given the execution's id and the step's path."""


class ExecutionContext(msgspec.Struct, frozen=True, eq=False):
    """The facts of an execution that are known before it runs. What happens while it runs is in its `progress`, its
    journal and its `interruption`."""

    flow: CompiledFlow
    envelope: Envelope
    journal: Journal
    services: Services
    progress: ExecutionProgress
    started_at: datetime
    attempt: int
    """Counts an operator's retries of the execution, not the attempts at a step."""
    vars: Mapping[str, Any]
    deadline: datetime | None = None
    """The time at which the flow's time limit ends."""
    reopened_after: int = 0
    """The number of the last journal entry before the last retry by an operator. Failures up to it are tried again."""
    clock_jumps: int = 0
    """The jumps that the clock had adopted when the run began."""
    hook_urls: HookUrls | None = None
    """None if the flow has no waiting steps."""
    edited: Mapping[str, StepRecord] = {}
    """The entries that replace messages, by the paths of the steps that get them; see `replay_edits`."""
    gate: StepGate = OPEN
    interruption: Interruption = msgspec.field(default_factory=Interruption)
    """The interruption of the flow's steps, by the time limit or a cancellation."""
    on_error_interruption: Interruption = msgspec.field(default_factory=Interruption)
    """The interruption of its `on_error` steps, by a time limit of their own or a cancellation."""
    _views: dict[str, Any] = msgspec.field(default_factory=dict)
    """The parts of scopes that were made already."""

    @property
    def ordered(self) -> bool:
        """True if the execution has an order key."""
        return self.envelope.order_key is not None

    @property
    def id(self) -> str:
        return self.envelope.execution_id

    @property
    def redactor(self) -> Redactor | NoRedactor:
        """Masks and encrypts redacted values."""
        return self.journal.redactor

    def scope(self, frame: Frame, names: Collection[str] | None = None) -> dict[str, Any]:
        """The names and values that expressions see in a frame. `names`: those that they read; None for all of them."""
        message = frame.message
        self.progress.weigh(message.body)
        scope: dict[str, Any] = {
            "body": message.body,
            "headers": message.headers,
            "attachments": msgspec.to_builtins(list(message.attachments)) if message.attachments else [],
            "vars": self.vars,
        }
        if names is None or "steps" in names:
            # A copy: a result with all steps must not have the results of later ones, or itself.
            scope["steps"] = dict(frame.steps)
        if names is None or "trigger" in names:
            scope["trigger"] = self._trigger()
        if names is None or "execution" in names:
            scope["execution"] = self._execution(frame)
        if frame.names:
            scope.update(frame.names)
        return scope

    def _trigger(self) -> dict[str, Any]:
        trigger: dict[str, Any] | None = self._views.get("trigger")
        if trigger is None:
            trigger = self._views["trigger"] = trigger_view(self.envelope.message, self.envelope.arrival)
        return trigger

    def _execution(self, frame: Frame) -> dict[str, Any]:
        view = {
            "id": self.id,
            "attempt": self.attempt,
            "started_at": rfc3339(self.started_at),
            "now": rfc3339(frame.now),
        }
        return view if self.hook_urls is None else {**view, "hooks": self._hooks(self.hook_urls, frame)}

    def _hooks(self, urls: HookUrls, frame: Frame) -> dict[str, Any]:
        """The URLs of the waiting steps whose path is known in this frame. Steps in another foreach are left out."""
        return {
            place.id: {"url": urls(self.id, frame.items.get(place.item_of or "", "") + place.tail)}
            for place in self.flow.wait_places
            if place.item_of is None or place.item_of in frame.items
        }

    def wait(self, frame: Frame, until: datetime | None, reason: str) -> Ending:
        """Let a step wait until a time; None: for something else without a time limit.

        Raises Interrupted if the execution was interrupted meanwhile: then it ends, and doesn't wait first.
        """
        frame.interruption.check()
        self.progress.wait_until(until, reason)
        return Ending.WAITING

    def error_info(self, error: StepError, path: str) -> ErrorInfo:
        """The recorded form of a step's error, which expressions see as well, without redacted values."""
        return self.redactor.mask_error(ErrorInfo(error.error_code, error.message, path, error.retryable))

    def callback(self, packed: bytes) -> Callback:
        """Unpack the callback of a waiting step. Raises Blocked if it can't be decrypted."""
        try:
            return self.services.redaction.decrypt_callback(packed)
        except RedactedUnreadable as error:
            raise Blocked(error.message) from error

    def failure_is_final(self, frame: Frame, entry: StepRecord) -> bool:
        """Return whether a recorded failure is final.

        It is tried again only after a retry by an operator, and only if nothing in the flow handles it.
        """
        return frame.lenient or entry.seq > self.reopened_after
