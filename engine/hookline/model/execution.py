"""Executions, the entries of their journals, and the legal changes of their states."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from hookline.kernel.errors import IllegalStateChange


class State(StrEnum):
    """The state of an execution."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """The outcome of an ended execution."""

    COMPLETED = "completed"
    FILTERED = "filtered"
    STOPPED = "stopped"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUTCOME_UNKNOWN = "outcome_unknown"
    CANCELLED = "cancelled"


TRANSITIONS: Final[dict[State, dict[State, str]]] = {
    State.QUEUED: {
        State.RUNNING: "its turn in the queue has come; stored with the first commit of its run",
        State.WAITING: "it is blocked, because something that it needs is missing",
        State.CANCELLED: "an operator or its caller cancels it",
    },
    State.RUNNING: {
        State.WAITING: "its steps wait, it is blocked, or it is a replay from a step on",
        State.SUCCEEDED: "its steps have ended",
        State.FAILED: "a step fails and nothing handles that, its time limit ends, or the engine has a defect",
        State.CANCELLED: "an operator or its caller cancels it",
    },
    State.WAITING: {
        State.RUNNING: "what it waits for has come, it is no longer blocked, or it is cancelled or out of time",
        State.FAILED: "the engine can't run it any more",
        State.CANCELLED: "an operator or its caller cancels it",
    },
    State.SUCCEEDED: {},
    State.FAILED: {State.WAITING: "an operator retries it"},
    State.CANCELLED: {},
}
"""The states that may follow each state of an execution, each with its cause."""

FINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

#: The reason of an execution that waits for its turn in its order key.
ORDER: Final = "order"

#: The reasons of an execution that waits for the next attempt at a step, for a time, and for a callback.
RETRY: Final = "retry"
SLEEP: Final = "sleep"
CALLBACK: Final = "callback"

#: The reason of an execution that waits for the end of a flow that it called.
FLOW: Final = "flow"

#: The reason of an execution that waits for others to join its batch.
BATCH: Final = "batch"

#: The reason of an execution that waits for the rate limit of a step; also the signal of that step's entry.
RATE: Final = "rate"
UNTIL: Final = "until"
"""The signal of a step that sleeps until a time that its flow names: it doesn't move when a clock is set."""

NOT_BEGUN: Final = "not_begun"
"""The signal of a failed entry of a step that must not run twice, and had not begun: it may run after all."""
INTERRUPTED: Final = "interrupted"
"""The signal of an entry that an interruption of the execution ended. The execution doesn't continue from it, unless
an operator retries it."""

#: The reason of a replay from a step on, until it runs; also the `use` of the entry with the message of that step.
REPLAY: Final = "replay"

#: The code of a step that may have run, and must not run again.
OUTCOME_UNKNOWN: Final = "outcome_unknown"

#: The beginning of the reason of a blocked execution; the cause follows.
BLOCKED: Final = "blocked: "


def check_transition(execution_id: str, old: State, new: State) -> None:
    """Raise IllegalStateChange unless an execution may go from `old` to `new`."""
    if new not in TRANSITIONS[old]:
        raise IllegalStateChange(f"execution {execution_id} is {old}; it can't become {new}")


class ErrorInfo(msgspec.Struct, frozen=True):
    """A recorded error."""

    code: str
    message: str
    step: str | None = None
    """The path of the step, `lines[3]/post`."""
    retryable: bool = False


class StepState(StrEnum):
    """The state of a step, or of an attempt at it, in an entry of the journal."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    WAITING = "waiting"
    """It waits until `due_at`, or without a limit: for its next attempt, its turn, a time, a callback, a called flow or
    a batch."""
    STARTED = "started"
    """It is about to run, and must not run twice."""
    SKIPPED = "skipped"
    """The step's `when` was false."""


STEP_TRANSITIONS: Final[dict[StepState | None, dict[StepState, str]]] = {
    None: {
        StepState.SKIPPED: "its `when` is false",
        StepState.STARTED: "it must not run twice, and is about to run",
        StepState.SUCCEEDED: "its first attempt succeeds",
        StepState.FAILED: "its first attempt fails for good",
        StepState.WAITING: "it waits: for the next attempt, its turn, a time, a callback or other executions",
    },
    StepState.STARTED: {
        StepState.SUCCEEDED: "it succeeds",
        StepState.FAILED: "it fails, nobody knows whether it took effect, or it was interrupted before it began",
        StepState.WAITING: "it sleeps",
    },
    StepState.WAITING: {
        StepState.STARTED: "its turn has come",
        StepState.SUCCEEDED: "an attempt succeeds, or what it waits for has come",
        StepState.FAILED: "the last attempt fails, or nothing has come in time",
        StepState.WAITING: "another attempt fails, or it waits for something else",
        StepState.SKIPPED: "an operator retries or moves the execution, and its `when` is false now",
    },
    StepState.FAILED: {
        StepState.SKIPPED: "an operator retries or moves the execution, and its `when` is false now",
        StepState.STARTED: "an operator retries it, or it was interrupted before it began",
        StepState.SUCCEEDED: "an operator retries it, and it succeeds",
        StepState.FAILED: "it is tried again, by an operator or because it was interrupted before it began, and fails",
        StepState.WAITING: "it is tried again, by an operator or because it was interrupted before it began, and waits",
    },
    StepState.SUCCEEDED: {
        StepState.SKIPPED: "an operator retries or moves the execution, and its `when` is false now",
        StepState.FAILED: "it is computed again and fails now, or a `finally` fails in a stopped parallel",
    },
    StepState.SKIPPED: {
        StepState.STARTED: "an operator retries or moves the execution, and its `when` is true now",
        StepState.SUCCEEDED: "an operator retries or moves the execution, and its `when` is true now",
        StepState.FAILED: "an operator retries or moves the execution, and its `when` is true now",
        StepState.WAITING: "an operator retries or moves the execution, and its `when` is true now",
    },
}
"""The states of the next entry of a step, by that of its last entry (None: it has none), each with its cause."""


class StepRecord(msgspec.Struct, frozen=True):
    """An entry of the journal: what became of a step, or of an attempt at it. The journal is append-only."""

    seq: int
    """Its place in the execution's journal, from 1."""
    id: str
    path: str
    use: str
    state: StepState
    attempt: int
    """Counted from 1."""
    started_at: datetime
    finished_at: datetime
    input: bytes | None = None
    """JSON of the step's settings after mapping, with secrets masked."""
    output: bytes | None = None
    """JSON of a `Result`."""
    error: ErrorInfo | None = None
    due_at: datetime | None = None
    signal: str | None = None
    """The signal in place of a result: `pass`, `filtered`, `stopped`, `rate` while it waits for its rate limit,
    `joined` if the execution joined another's batch, or one of `UNTIL`, `NOT_BEGUN` and `INTERRUPTED`. Beside a result:
    `stream` or `INTERRUPTED`."""
    encrypted: bytes | None = None
    """The output before something in it was masked, encrypted with the execution's data key."""


def stored_size(records: Iterable[StepRecord]) -> int:
    """The bytes of the results of a journal's entries."""
    return sum(len(record.output or b"") + len(record.encrypted or b"") for record in records)


class Execution(msgspec.Struct, frozen=True):
    """One message's run through one version of a flow."""

    id: str
    flow_id: str
    flow_version: str | None
    """Bound when the first step starts."""
    state: State
    outcome: Outcome | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    """Counts an operator's retries; 1 at first."""
    reopened_after: int = 0
    """The last entry that its journal had when an operator last retried it."""
    error: ErrorInfo | None = None
    reason: str | None = None
    """The reason for waiting: `retry`, `sleep`, `callback`, `flow`, `batch`, `rate`, `blocked: …` with the cause, or
    `order` if another execution with its order key goes first."""
    ready_at: datetime | None = None
    """The time of its next run; None while it runs, is blocked or has ended."""
    vars: bytes | None = None
    """JSON of its vars if they differ from those of the flow's document."""
    files_removed_at: datetime | None = None
    """The time at which its files were removed by retention."""
    deadline_at: datetime | None = None
    """The time at which the flow's timeout ends it."""
    cancel_asked_at: datetime | None = None
    """The time of the request to cancel it."""
    replay_of: str | None = None
    """The execution that it replays."""
    node: str | None = None
    """The name of the node that runs it or has claimed it, or ran it last; None if it waits for any, and on SQLite."""
    error_cause: str | None = None
    """The cause of its failure, as `cause_of` gives it."""
    discarded_at: datetime | None = None
    """The time at which its dead letter was discarded."""


TAG: Final = r"^[A-Za-z][A-Za-z0-9_-]*:."
"""A tag in a filter."""


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions that executions have to meet, all of them; without conditions, all executions."""

    flow_id: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    error_code: str | None = None
    """The code of the error with which they failed, such as `http.503`."""
    cause: str | None = None
    """The cause of dead letters, as `cause_of` gives it. It needs a `flow_id`; requests write `<flow>:<cause>`."""
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """Their message was accepted then or later."""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """Their message was accepted earlier."""
    replay_of: str | None = None
    """The execution that they replay."""
    tag: Annotated[str, msgspec.Meta(pattern=TAG)] | None = None
    """One of their tags, as `<name>:<value>`."""
    order_key: str | None = None
    """The value of their flow's `order_by`; of several ones, their JSON list without blanks."""


ALL_EXECUTIONS: Final = ExecutionFilter()
