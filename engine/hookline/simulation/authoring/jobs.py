"""The jobs that a worker process does for authors, and their results.

Each is sent as MessagePack, in which JSON stays bytes.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from hookline.flows.authoring.flow_difference import Difference
from hookline.flows.check.step_scopes import StepScope
from hookline.flows.elements.outside_references import KnownFlow
from hookline.kernel.errors import Problem
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.secrets.credential_reach import KnownCredential

MAX_STEPS: Final = 1000
"""The most steps in a result."""
MAX_ATTEMPTS: Final = 20
"""The most attempts at a step in a result, the newest."""


class GivenDocument(msgspec.Struct, frozen=True):
    """A flow that is to be compiled."""

    source: bytes
    environment: Mapping[str, str] = {}
    """The variables that may override its vars."""


class GivenMessage(msgspec.Struct, frozen=True):
    """A message, as its author writes it."""

    body: bytes = b"null"
    headers: Mapping[str, str] = {}


class CheckJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Find the problems of a document, and the types in scope at each step."""

    document: GivenDocument
    credentials: Mapping[str, KnownCredential] | None
    """The credentials by name; None if their names aren't checked."""
    flows: Mapping[str, KnownFlow]
    """The flows that exist, by id."""
    cases: bytes = b"null"
    """JSON of its cases, which show the types of its messages."""
    unverified: tuple[str, ...] | None = None
    """Patterns of the ids of the flows that may accept unverified requests; None for all."""
    public_url: bool = True
    only_changes: bool = False
    """Return only the differences of each scope from that of the step before."""


class EvaluateJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Evaluate an expression on a message, or at a step of a recording."""

    expression: bytes
    """JSON: any setting of a step."""
    mappers: tuple[str, ...] = ()
    exact: bool = False
    message: GivenMessage = GivenMessage()
    steps: bytes = b"{}"
    """JSON of `steps` in expressions."""
    vars: bytes = b"{}"
    recording: bytes | None = None
    """An execution, as the admin API gives it, in place of the message."""
    document: GivenDocument | None = None
    """The version that it ran on."""
    step: str | None = None
    """The path of the step before which the expression is evaluated; None for the message that came in."""


class TryJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Simulate a document on a message or on a recording; all effects are stubbed."""

    document: GivenDocument
    given: bytes
    """JSON of a case without name and expectations."""
    recording: bytes | None = None
    """An execution, as the admin API gives it: its message and its results are used where none are given."""
    until: str | None = None
    """The JSON pointer of the step after which it ends."""


class EvaluateStepJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Evaluate each expression of a step as it would see a message, without effects."""

    document: GivenDocument
    step: str
    """The JSON pointer of the step."""
    given: bytes
    """JSON of a case without name and expectations."""
    recording: bytes | None = None
    """As in `TryJob`."""
    turn: int = 0
    """The number of the step's run, counted from 0; in a foreach, the index of the item."""


class BacktestJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Compare a document with recordings of its flow."""

    document: GivenDocument
    recordings: tuple[bytes, ...]


class CaseJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Make a test case of a recording."""

    document: GivenDocument
    """The version that ran."""
    recording: bytes
    name: str


class FormatJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Write a document in canonical form."""

    source: bytes


class CompareJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Find the differences in meaning from one document to another."""

    old: bytes
    new: bytes


class RunCasesJob(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """Run the cases of a document."""

    document: GivenDocument
    cases: bytes
    """JSON of its cases, as in `<id>.test.json`."""
    names: tuple[str, ...] | None = None
    """Only the cases of these names; None for all."""


Job: TypeAlias = (
    CheckJob | EvaluateJob | EvaluateStepJob | TryJob | BacktestJob | CaseJob | FormatJob | CompareJob | RunCasesJob
)


class CheckResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The problems of a document, and the scopes of its steps."""

    problems: tuple[Problem, ...]
    steps: tuple[StepScope, ...]
    more_problems: bool = False
    more_steps: bool = False


class EvaluateResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The value of an expression, or its problems."""

    value: bytes = b"null"
    type: str | None = None
    """None if there is no value."""
    problems: tuple[Problem, ...] = ()


class EvaluatedExpression(msgspec.Struct, frozen=True):
    """An expression of a step, and its value or its problems."""

    pointer: str
    """Its JSON pointer in the document."""
    language: str
    value: bytes = b"null"
    type: str | None = None
    """None if there is no value."""
    problems: tuple[Problem, ...] = ()
    """Their pointers are those in the document."""
    reads: bytes = b"[]"
    """JSON: the origins of the values that it reads, as `Explained`."""


class EvaluatedStep(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The scope of a step for a message, and the values of its expressions."""

    scope: bytes
    """JSON of all that its expressions may read; null if the message doesn't reach the step."""
    expressions: tuple[EvaluatedExpression, ...]
    turns: int
    """The number of times that the message reaches the step."""
    error: ErrorInfo | None = None
    """The error of the earlier step because of which the message doesn't reach the step."""
    without_stub: tuple[str, ...] = ()
    """The paths of the earlier steps that have effects and no stub; their results are empty."""


class TryResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The result of a flow that was tried."""

    flow_id: str
    flow_version: str
    execution_id: str
    outcome: str | None
    """None if it had not ended."""
    error: ErrorInfo | None
    reason: str | None
    """The reason for which it waits."""
    body: bytes
    reply: bytes | None
    """JSON of the reply to the caller."""
    records: tuple[StepRecord, ...]
    """The journal, by step; the paths of a called flow's steps begin with the path of the calling step."""
    more_steps: bool
    stubbed: tuple[str, ...]
    """The paths of the steps that were stubbed, once for each call."""
    without_stub: tuple[str, ...]
    """Those of them that had no stub."""
    unanswered: tuple[str, ...]
    """The paths of the steps that waited for a callback that never came."""
    took: timedelta


class BacktestResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The comparison with the recordings."""

    backtest: bytes
    """JSON of a `Backtest`."""


class CaseMade(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The test case of a recording."""

    case: bytes
    """JSON of a case."""
    left_out: tuple[str, ...]
    """The things that the case leaves out, each with the reason."""


class FormatResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """A document in canonical form."""

    text: str


class CompareResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The differences in meaning between two documents."""

    differences: tuple[Difference, ...]


class RanCase(msgspec.Struct, frozen=True):
    """A case that was run; it has passed if nothing differs."""

    name: str
    outcome: str | None
    """Null if it had not ended."""
    error: ErrorInfo | None
    differences: tuple[str, ...]
    path: tuple[str, ...]
    """The paths of the steps that ran, in order."""
    took: float
    """Seconds of simulated time."""


class NotReached(msgspec.Struct, frozen=True):
    """A step or a branch that no case reaches."""

    what: str
    """Such as `step kind/post` or `switch kind: case 2`."""
    pointer: str
    """Its JSON pointer in the document."""


class CasesRun(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The results of cases, and their coverage."""

    cases: tuple[RanCase, ...]
    reached: int
    """The number of steps and branches that a case reaches."""
    total: int
    missed: tuple[NotReached, ...]


class Failure(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """An error in the document or in the job."""

    kind: str
    """`invalid` for a document with problems, or `limit`."""
    message: str
    problems: tuple[Problem, ...] = ()


OUT_OF_MEMORY: Final = Failure("limit", "this needs more memory than a request may use")


JobResult: TypeAlias = (
    CheckResult
    | EvaluateResult
    | EvaluatedStep
    | TryResult
    | BacktestResult
    | CaseMade
    | FormatResult
    | CompareResult
    | CasesRun
    | Failure
)
