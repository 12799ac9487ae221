"""The requests that the routes for authors take, and the views that they return."""

from typing import Annotated, Final, Literal

import msgspec

from hookline.flows.authoring.flow_difference import Difference
from hookline.flows.check.step_scopes import StepScope
from hookline.kernel.errors import Problem
from hookline.kernel.json import decode, encode
from hookline.model.execution import StepRecord
from hookline.operations.value_provenance import Explained
from hookline.service.admin.executions.executions import shorten_provenance
from hookline.service.views.excerpts import Cut, excerpt
from hookline.service.views.executions import ErrorView, LatestView, error_view, latest_view
from hookline.simulation.authoring.jobs import (
    CasesRun,
    CheckResult,
    EvaluatedExpression,
    EvaluatedStep,
    NotReached,
    TryResult,
)

_UNSET: Final = msgspec.UNSET
#: Values and characters in the value of each expression.
_SHORT: Final = 100
_SHORT_TEXTS: Final = 5000


class DocumentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A flow's document, as JSON or as its text."""

    document: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The document; lines and columns of problems are counted from its beginning in the request."""
    text: str | None = None
    """The text of the document, if it may be no JSON yet."""


class CheckRequest(DocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document that is to be checked."""

    cases: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The contents of its case file, which show the types of its messages and results."""
    flow_id: str | None = None
    """If `cases` is left out: the flow whose cases are used."""
    scopes: Literal["whole", "changes"] = "whole"
    """`changes`: each scope has only what differs from the scope of the step before."""


class CheckView(msgspec.Struct, frozen=True):
    """The problems of a document, and the types in scope at each of its steps."""

    valid: bool
    """True if there is no error, so that the document can be served."""
    problems: list[Problem]
    more_problems: bool
    """True if there are more problems than are listed."""
    steps: list[StepScope]
    """The steps that are reached, in the order of the text; none if there are errors."""
    more_steps: bool
    """True if steps are left out, because their types would be too much text."""


class FormattedView(msgspec.Struct, frozen=True):
    """A document in canonical form, as `hookline fmt` writes it."""

    text: str


class DifferencesView(msgspec.Struct, frozen=True):
    """The differences in meaning from a version of a flow to a document."""

    flow_id: str
    old_version: str
    differences: list[Difference]


class TestRequest(DocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document and its cases."""

    cases: msgspec.Raw
    """As in `<id>.test.json`."""
    names: tuple[str, ...] | None = None
    """Only the cases of these names."""


class RanCaseView(msgspec.Struct, frozen=True):
    """A case that was run."""

    name: str
    passed: bool
    outcome: str | None
    """Null if it had not ended."""
    error: ErrorView | None
    differences: list[str]
    """The differences from the expectations; none if it has passed."""
    path: list[str]
    """The paths of the steps that ran, in order."""
    took: float
    """Seconds of simulated time, in which waits take no time."""


class TestView(msgspec.Struct, frozen=True):
    """The results of the cases of a document, and their coverage."""

    cases: list[RanCaseView]
    reached: int
    """The number of steps and branches that a case reaches."""
    total: int
    """The number of all steps and branches."""
    missed: list[NotReached]
    """The steps and the branches that no case reaches."""


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message."""

    body: msgspec.Raw | msgspec.UnsetType = _UNSET
    """Any JSON value; null if it is left out."""
    headers: dict[str, str] = {}


class EvaluateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression, and the execution that has ended, or the message, on which it is evaluated."""

    expression: msgspec.Raw
    """Any value that a step's setting may have: an expression, or a JSON value that contains expressions."""
    execution_id: str | None = None
    """The expression sees what steps of this execution saw; masked values stay masked."""
    step: str | None = None
    """The path of the step before which it is evaluated; by default it sees the message that came in."""
    message: MessageRequest = MessageRequest()
    """Without an execution: the message that it sees."""
    steps: dict[str, msgspec.Raw] = {}
    """Without an execution: the results that it sees as `steps`."""
    vars: dict[str, msgspec.Raw] = {}
    """Without an execution: the values that it sees as `vars`."""
    mappers: list[str] = []
    """The languages that it may use besides JSONPath and Jinja, such as `jsonata`; with an execution, those of the
    flow as well."""
    exact_numbers: bool = False
    """Without an execution: fractions are decimal numbers."""


class CaseView(msgspec.Struct, frozen=True):
    """A test case of an execution."""

    case: msgspec.Raw
    """One of the cases in `<id>.test.json`. It passes with the version that ran."""
    left_out: list[str]
    """The things that it leaves out, each with the reason."""


class EvaluateView(msgspec.Struct, frozen=True):
    """The value of an expression, or its problems."""

    value: msgspec.Raw
    """Null if there are problems."""
    type: str | None
    """The type of the value, such as `{id: text}`; null if there are problems."""
    problems: list[Problem]
    """Their pointers are those within the expression."""


class TriedDocumentRequest(DocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document, the message that the flow gets, and the stubs, callbacks and flow state for its steps."""

    execution_id: str | None = None
    """An execution that has ended: its message is taken, and with stubbed effects also its results, callbacks and
    flow state, where none are given."""
    input: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The message, as in a case: `body`, `headers`, `attachments` with their `content`, `method`, `path`, `query`."""
    stubs: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The results of steps by path, as in a case."""
    answers: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The callbacks of waiting steps by path, as in a case."""
    state: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The flow state, by key."""
    vars: msgspec.Raw | msgspec.UnsetType = _UNSET
    """Values in place of the flow's own vars, by name."""
    now: msgspec.Raw | msgspec.UnsetType = _UNSET
    """With stubbed effects: the time at which it starts."""


class EvaluateStepRequest(TriedDocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document, one of its steps, and the message that the flow gets. Effects are stubbed."""

    step: str
    """The JSON pointer of the step, such as `/steps/1`."""
    turn: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    """The number of the step's run, counted from 0; in a foreach, the index of the item."""


class EvaluatedExpressionView(msgspec.Struct, frozen=True):
    """An expression of a step, and its value or its problems."""

    pointer: str
    """Its JSON pointer in the document."""
    language: str
    value: msgspec.Raw
    """Null if there are problems; of a large value, only the beginning."""
    cuts: list[Cut]
    """The places at which the value was shortened."""
    type: str | None
    """The type of the value, such as `{id: text}`; null if there are problems."""
    problems: list[Problem]
    """Their pointers are those in the document."""
    reads: list[Explained]
    """The values that it reads, each with the expression, the step or the message from which it comes."""


class EvaluatedStepView(msgspec.Struct, frozen=True):
    """The scope of a step for a message, and the values of its expressions."""

    reached: bool
    """False if the message doesn't reach the step."""
    turns: int
    """The number of times that the message reaches the step."""
    error: ErrorView | None
    """The error of the earlier step at which the run ended."""
    scope: msgspec.Raw
    """All that the step's expressions may read, by name; of large values, only the beginning."""
    cuts: list[Cut]
    """The places at which the scope was shortened."""
    expressions: list[EvaluatedExpressionView]
    """In the order of the text, without those of steps inside the step."""
    without_stub: list[str]
    """The paths of the earlier steps that have effects and no stub; their results are empty."""


class TryRequest(TriedDocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document and a message on which it is tried."""

    effects: Literal["stubbed", "real"] = "stubbed"
    """`real`: steps without a stub have their real effects, with the server's credentials; this is audited."""
    until: str | None = None
    """The JSON pointer of a step: the run ends after it. Without it, the whole flow runs."""


class TryView(msgspec.Struct, frozen=True):
    """The run of a tried document, of which nothing is stored."""

    flow_id: str
    flow_version: str
    effects: str
    outcome: str | None
    """Null if it had not ended: it waits for something, or it took too long."""
    error: ErrorView | None
    reason: str | None
    """The reason why it waits."""
    body: msgspec.Raw
    """The body of the last message."""
    reply: msgspec.Raw
    """The reply to the caller with `status`, `headers` and `body`; null if there is none."""
    steps: list[LatestView]
    """As in an execution; the paths of a called flow's steps begin with the path of the calling step."""
    more_steps: bool
    stubbed: list[str]
    """The paths of the steps that were stubbed, in order, once for each call."""
    without_stub: list[str]
    """Those of them that got an empty result, because they had no stub."""
    unanswered: list[str]
    """The paths of the steps that waited for a callback that never came."""
    took: float
    """Seconds; with stubbed effects those of the simulated time, in which waits take no time."""


class ExampleView(msgspec.Struct, frozen=True):
    """A difference in one execution."""

    execution_id: str
    place: str
    before: msgspec.Raw
    after: msgspec.Raw


class DifferenceView(msgspec.Struct, frozen=True):
    """Differences of one kind at one step."""

    kind: str
    """`outcome`, `output`, `path`, `changed call`, `new call` or `dropped call`."""
    step: str
    """Its path, without the numbers of items; empty for the whole."""
    count: int
    """The number of executions that differ so."""
    examples: list[ExampleView]


class NotComparedView(msgspec.Struct, frozen=True):
    """Executions that can't be compared, and the reason."""

    why: str
    step: str
    """The path of the step; empty if the executions aren't tried at all."""
    count: int
    examples: list[str]


class ComparedView(msgspec.Struct, frozen=True):
    """A document compared with executions of its flow."""

    flow_id: str
    executions: int
    same: int
    unknown: int
    """The number of executions with a call that isn't recorded, so that their further course is unknown."""
    kinds: list[DifferenceView]
    left_out: list[NotComparedView]


class BacktestView(ComparedView, frozen=True):
    """One page of a backtest."""

    next: str | None
    """The cursor of the older executions; null at the end."""


def check_view(result: CheckResult) -> CheckView:
    valid = not any(problem.severity == "error" for problem in result.problems)
    return CheckView(valid, list(result.problems), result.more_problems, list(result.steps), result.more_steps)


def evaluated_view(result: EvaluatedStep) -> EvaluatedStepView:
    """The result, with the beginnings of large values."""
    scope = excerpt(decode(result.scope, exact=True))
    return EvaluatedStepView(
        reached=result.turns > 0,
        turns=result.turns,
        error=error_view(result.error),
        scope=msgspec.Raw(encode(scope.value)),
        cuts=scope.cuts,
        expressions=[_expression_view(one) for one in result.expressions],
        without_stub=list(result.without_stub),
    )


def _expression_view(one: EvaluatedExpression) -> EvaluatedExpressionView:
    value = excerpt(decode(one.value, exact=True), values=_SHORT, texts=_SHORT_TEXTS)
    reads = msgspec.json.decode(one.reads, type=list[Explained])
    return EvaluatedExpressionView(
        one.pointer,
        one.language,
        msgspec.Raw(encode(value.value)),
        value.cuts,
        one.type,
        list(one.problems),
        [shorten_provenance(read) for read in reads],
    )


def try_view(result: TryResult, effects: str) -> TryView:
    latest: dict[str, list[StepRecord]] = {}
    for record in result.records:
        latest.setdefault(record.path, []).append(record)
    return TryView(
        flow_id=result.flow_id,
        flow_version=result.flow_version,
        effects=effects,
        outcome=result.outcome,
        error=error_view(result.error),
        reason=result.reason,
        body=msgspec.Raw(result.body),
        reply=msgspec.Raw(b"null" if result.reply is None else result.reply),
        steps=[latest_view(records[-1], records[:-1], None) for records in latest.values()],
        more_steps=result.more_steps,
        stubbed=list(result.stubbed),
        without_stub=list(result.without_stub),
        unanswered=list(result.unanswered),
        took=result.took.total_seconds(),
    )


def test_view(result: CasesRun) -> TestView:
    cases = [
        RanCaseView(
            one.name,
            not one.differences,
            one.outcome,
            error_view(one.error),
            list(one.differences),
            list(one.path),
            one.took,
        )
        for one in result.cases
    ]
    return TestView(cases, result.reached, result.total, list(result.missed))


EITHER: Final = msgspec.Meta(
    extra_json_schema={
        "oneOf": [
            {"required": ["document"], "properties": {"text": {"type": "null"}}},
            {"required": ["text"], "properties": {"text": {"type": "string"}, "document": False}},
        ]
    }
)
STEP_OF_EXECUTION: Final = msgspec.Meta(
    extra_json_schema={
        "anyOf": [
            {"properties": {"step": {"type": "null"}}},
            {"required": ["execution_id"], "properties": {"execution_id": {"type": "string"}}},
        ]
    }
)
