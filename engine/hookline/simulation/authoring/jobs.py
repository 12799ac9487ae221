"""The jobs that a worker process does for authors, and their results.

Each is sent as its length and MessagePack, in which JSON stays bytes.
"""

import struct
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from hookline.flows.check.step_descriptions import StepDescription
from hookline.kernel.errors import Problem
from hookline.model.execution import ErrorInfo, StepRecord

LENGTH: Final = struct.Struct(">I")
"""The format of a length."""
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
    credentials: Mapping[str, str] | None
    """The type of each credential; None if their names aren't checked."""
    flows: tuple[str, ...]
    """The ids of the flows that it may call."""
    cases: bytes = b"null"
    """JSON of its cases, which show the types of its messages."""
    public_url: bool = True
    files: bool = True


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


Job: TypeAlias = CheckJob | EvaluateJob | TryJob | BacktestJob | CaseJob


class CheckResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The problems of a document, and the scopes of its steps."""

    problems: tuple[Problem, ...]
    steps: tuple[StepDescription, ...]
    more_problems: bool = False
    more_steps: bool = False


class EvaluateResult(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """The value of an expression, or its problems."""

    value: bytes = b"null"
    type: str | None = None
    """None if there is no value."""
    problems: tuple[Problem, ...] = ()


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


class Failure(msgspec.Struct, frozen=True, tag=True, tag_field="job"):
    """An error in the document or in the job."""

    kind: str
    """`invalid` for a document with problems, or `limit`."""
    message: str
    problems: tuple[Problem, ...] = ()


Result: TypeAlias = CheckResult | EvaluateResult | TryResult | BacktestResult | CaseMade | Failure
