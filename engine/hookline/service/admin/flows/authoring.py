"""The admin API's routes for authors: they check, evaluate, try and backtest documents that aren't served yet.

Documents are compiled and run in processes of their own, with limits on time and memory: see
`hookline.simulation.authoring`.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from quart import Blueprint, Response

from hookline.access.audit import audited
from hookline.access.caller import Caller
from hookline.engine import Engine
from hookline.flows.check.step_descriptions import StepDescription
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import (
    BlobGone,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    Malformed,
    Problem,
    TooLarge,
    WorkLimit,
)
from hookline.kernel.json import decode, encode
from hookline.model.access import TokenScope
from hookline.model.execution import StepRecord
from hookline.model.message import Message
from hookline.service.admin.callers import caller
from hookline.service.admin.executions.executions import WholeRecordingView, recorded, recorded_one
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import (
    MAX_DOCUMENT,
    PAGE,
    Parameter,
    Query,
    bounded_document,
    decode_body,
    json_response,
    page_or_malformed,
    read_body,
    read_query,
    require_flow,
    time,
)
from hookline.service.views.executions import ErrorView, LatestView, error_view, latest_view
from hookline.simulation.authoring.jobs import (
    BacktestJob,
    BacktestResult,
    CaseJob,
    CaseMade,
    CheckJob,
    CheckResult,
    EvaluateJob,
    EvaluateResult,
    GivenDocument,
    GivenMessage,
    TryJob,
    TryResult,
)
from hookline.simulation.authoring.real_effects import RealEffects
from hookline.simulation.authoring.try_document import compile_given, read_given

_UNSET: Final = msgspec.UNSET
_BACKTEST: Final[Query] = (
    time("since", "Only executions whose message was accepted at this time or later."),
    *PAGE,
)
_CASE: Final[Query] = (
    Parameter("name", "The name of the case.", {"type": "string", "minLength": 1, "maxLength": 200}, required=True),
)
_MAX_RECORDINGS: Final = 16_000_000
"""The most bytes of recordings in one request; a page ends before it has more."""
_RECORDINGS_AT_ONCE: Final = 10


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


class CheckView(msgspec.Struct, frozen=True):
    """The problems of a document, and the types in scope at each of its steps."""

    valid: bool
    """True if there is no error, so that the document can be served."""
    problems: list[Problem]
    more_problems: bool
    """True if there are more problems than are listed."""
    steps: list[StepDescription]
    """The steps that are reached, in the order of the text; none if there are errors."""
    more_steps: bool
    """True if the types of all steps would be too much text."""


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


class TryRequest(DocumentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document and a message on which it is tried."""

    effects: Literal["stubbed", "real"] = "stubbed"
    """`real`: steps without a stub have their real effects, with the server's credentials; this is audited."""
    execution_id: str | None = None
    """An execution that has ended: its message is taken, and with stubbed effects also its results, callbacks and
    state, where none are given."""
    input: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The message, as in a case: `body`, `headers`, `attachments` with their `content`, `method`, `path`, `query`."""
    stubs: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The results of steps by path, as in a case."""
    answers: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The callbacks of waiting steps by path, as in a case."""
    state: msgspec.Raw | msgspec.UnsetType = _UNSET
    """The state that the flow has kept, by key."""
    vars: msgspec.Raw | msgspec.UnsetType = _UNSET
    """Values in place of the flow's own vars, by name."""
    now: msgspec.Raw | msgspec.UnsetType = _UNSET
    """With stubbed effects: the time at which it starts."""


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


_EITHER: Final = msgspec.Meta(
    extra_json_schema={
        "oneOf": [
            {"required": ["document"], "properties": {"text": {"type": "null"}}},
            {"required": ["text"], "properties": {"text": {"type": "string"}, "document": False}},
        ]
    }
)
_STEP_OF_EXECUTION: Final = msgspec.Meta(
    extra_json_schema={
        "anyOf": [
            {"properties": {"step": {"type": "null"}}},
            {"required": ["execution_id"], "properties": {"execution_id": {"type": "string"}}},
        ]
    }
)
_Document = Annotated[DocumentRequest, _EITHER]
_Check = Annotated[CheckRequest, _EITHER]
_Try = Annotated[TryRequest, _EITHER]
_Evaluate = Annotated[EvaluateRequest, _STEP_OF_EXECUTION]
_WORK: Final = (FlowInvalid, WorkLimit)
_RECORDING: Final = (ExecutionNotFound, FlowNotFound, IllegalStateChange, BlobGone)


def add_authoring(api: Blueprint, engine: Engine) -> None:

    @api.post("/check")
    @operation(CheckView, request=_Check, scope=TokenScope.AUTHOR, errors=_WORK)
    async def check_document() -> Response:
        """Check a document: get its problems, and the types of the values in scope at each step. Nothing is changed."""
        given = decode_body(await read_body(), CheckRequest)
        with engine.authoring.slot():
            return json_response(check_view(await _checked(engine, caller(), given, _raw(given.cases))))

    @api.post("/evaluate")
    @operation(EvaluateView, request=_Evaluate, scope=TokenScope.AUTHOR, errors=(*_WORK, *_RECORDING))
    async def evaluate_expression() -> Response:
        """Evaluate an expression on a message, or as a step of an execution would have evaluated it."""
        given = decode_body(await read_body(), EvaluateRequest)
        job = EvaluateJob(
            bytes(given.expression),
            tuple(given.mappers),
            given.exact_numbers,
            GivenMessage(_raw(given.message.body), _lower(given.message.headers)),
            encode(given.steps),
            encode(given.vars),
        )
        if given.execution_id is not None:
            recording = await _recording(engine, caller(), given.execution_id)
            job = msgspec.structs.replace(
                job,
                recording=encode(recording),
                document=await _version_that_ran(engine, recording),
                step=given.step,
            )
        elif given.step is not None:
            raise Malformed("step is a step of an execution: give execution_id, too.")
        with engine.authoring.slot():
            result = await engine.authoring.run(job, EvaluateResult)
        return json_response(EvaluateView(msgspec.Raw(result.value), result.type, list(result.problems)))

    @api.post("/try")
    @operation(TryView, request=_Try, scope=TokenScope.AUTHOR, errors=(*_WORK, *_RECORDING), connectors=True)
    async def try_flow() -> Response:
        """Run a document on a message, without storing anything. By default it has no effects outside."""
        given = decode_body(await read_body(), TryRequest)
        by = caller()
        recording = None if given.execution_id is None else await _recording(engine, by, given.execution_id)
        case = _case(given)
        if given.effects == "real" and len(case) > MAX_DOCUMENT:
            raise TooLarge(
                f"With real effects, message, stubs and answers have at most {MAX_DOCUMENT:,} bytes together."
            )
        with engine.authoring.slot():
            if given.effects == "real":
                result = await _try_for_real(engine, by, given, case, recording)
            else:
                document = _document(engine, given)
                job = TryJob(document, case, None if recording is None else encode(recording))
                result = await engine.authoring.run(job, TryResult)
        return json_response(try_view(result, given.effects))

    @api.post("/backtest")
    @operation(BacktestView, request=_Document, query=_BACKTEST, scope=TokenScope.AUTHOR, errors=(FlowNotFound, *_WORK))
    async def backtest_flow() -> Response:
        """Compare a document with executions of its flow that have ended, the newest first, a page at a time.

        Nothing is sent or written: each step with effects gets the result that was recorded for it.
        """
        given, page = decode_body(await read_body(), DocumentRequest), read_query(_BACKTEST)
        document = _document(engine, given)
        flow_id = _id_of(document)
        caller().require_flow(flow_id)
        await require_flow(engine, flow_id)
        with engine.authoring.slot():
            recordings, following = await _recordings(engine, flow_id, page)
            result = await engine.authoring.run(BacktestJob(document, tuple(recordings)), BacktestResult)
        compared = msgspec.json.decode(result.backtest, type=ComparedView)
        return json_response(BacktestView(**msgspec.structs.asdict(compared), next=following))

    @api.get("/executions/<execution_id>/case")
    @operation(CaseView, query=_CASE, scope=TokenScope.AUTHOR, errors=(*_WORK, *_RECORDING))
    async def make_case(execution_id: str) -> Response:
        """Make a test case of an execution that has ended, as `hookline test --record` does. It isn't saved."""
        name = read_query(_CASE)["name"]
        with engine.authoring.slot():
            recording = await _recording(engine, caller(), execution_id)
            document = await _version_that_ran(engine, recording)
            made = await engine.authoring.run(CaseJob(document, encode(recording), name), CaseMade)
        return json_response(CaseView(msgspec.Raw(made.case), list(made.left_out)))


def _raw(value: msgspec.Raw | msgspec.UnsetType) -> bytes:
    return b"null" if value is _UNSET else bytes(value)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _document(engine: Engine, given: DocumentRequest) -> GivenDocument:
    """The document of a request. Raises Malformed unless there is one, and TooLarge."""
    if (given.document is _UNSET) == (given.text is None):
        raise Malformed("Give a document, or the text of one.")
    source = given.text.encode() if given.text is not None else _raw(given.document)
    return GivenDocument(bounded_document(source), dict(engine.options.environment))


async def _checked(engine: Engine, by: Caller, given: DocumentRequest, cases: bytes = b"null") -> CheckResult:
    document = _document(engine, given)
    types = {one.name: one.type for one in await engine.store.credentials()}
    job = CheckJob(
        document,
        types,
        tuple(by.visible(engine.catalog.entries)),
        cases,
        engine.options.public_url_set,
        engine.options.files_root is not None,
    )
    return await engine.authoring.run(job, CheckResult)


def _case(given: TryRequest) -> bytes:
    """JSON of a case without name and expectations."""
    parts = {name: getattr(given, name) for name in ("input", "stubs", "answers", "state", "vars", "now")}
    return encode({name: part for name, part in parts.items() if part is not _UNSET})


async def _recording(engine: Engine, by: Caller, execution_id: str) -> WholeRecordingView:
    """The recording of an execution. Raises ExecutionNotFound, and IllegalStateChange if it hasn't ended."""
    execution = await engine.store.execution(execution_id)
    if execution is None or not by.sees(execution.flow_id):
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    return await recorded_one(engine.store, engine.blobs, execution_id)


async def _version_that_ran(engine: Engine, recording: WholeRecordingView) -> GivenDocument:
    """The version on which an execution ran. Raises Malformed if it ended before it ran."""
    if recording.flow_version is None:
        raise Malformed(f"Execution {recording.id} ended before it ran, so its steps saw nothing.")
    source = await engine.version_history.document(recording.flow_id, recording.flow_version)
    return GivenDocument(bytes(source), dict(engine.options.environment))


def _id_of(document: GivenDocument) -> str:
    """The id that a document names. Raises FlowInvalid."""
    try:
        found = msgspec.json.decode(document.source, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = Problem("the document names no flow", "/id", "invalid_value", "give it the id of the flow")
        raise FlowInvalid([problem]) from None
    return found.id


class _Named(msgspec.Struct):
    id: str


async def _recordings(engine: Engine, flow_id: str, page: Mapping[str, Any]) -> tuple[list[bytes], str | None]:
    """The recordings of a page, and the cursor of the next. A page with large recordings has fewer of them."""
    since: datetime | None = page["since"]
    cursor: str | None = page["cursor"]
    found: list[bytes] = []
    size, left = 0, int(page["limit"])
    while left > 0 and size < _MAX_RECORDINGS:
        asked = min(left, _RECORDINGS_AT_ONCE)
        part = await page_or_malformed(recorded(engine.store, flow_id, since, cursor, asked))
        found += map(encode, part.items)
        size += sum(len(one) for one in found[-len(part.items) :]) if part.items else 0
        left -= asked
        cursor = part.next
        if cursor is None:
            break
    return found, cursor


async def _try_for_real(
    engine: Engine, by: Caller, given: TryRequest, case: bytes, recording: WholeRecordingView | None
) -> TryResult:
    """Try a document with real effects. Raises FlowInvalid, WorkLimit, and StoreError if it can't be audited."""
    # The document is checked in a worker process first, so that one that costs too much is never compiled in this one.
    checked = await _checked(engine, by, given)
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    if errors:
        raise FlowInvalid(errors)
    flow = await asyncio.to_thread(compile_given, _document(engine, given), engine.registry)
    by.require_flow(flow.id)
    asked = await asyncio.to_thread(read_given, case, flow, engine.registry)
    message = Message(asked.input.body, _lower(asked.input.headers))
    if asked.input.attachments:
        raise Malformed("With real effects, a message has no attachments of its own; name an execution that has them.")
    if recording is not None and given.input is _UNSET:
        body = decode(bytes(recording.body), exact=flow.exact)
        message = Message(body, dict(recording.headers), tuple(recording.attachments))
    execution_id, now = engine.ids.new(), engine.clock.now()
    await engine.store.commit(
        [
            audited(
                engine.ids.new(),
                now,
                by.actor,
                "flow.try",
                flow_id=flow.id,
                flow_version=flow.version,
                subject=execution_id,
            )
        ]
    )
    others = partial(_called, engine, by)
    tried = RealEffects(engine.services, engine.registry, others, engine.authoring.seconds)
    return await tried.run(flow, asked, message, execution_id)


def _called(engine: Engine, by: Caller, flow_id: str) -> CompiledFlow | None:
    """A flow that a tried one may call. Raises FlowInvalid if it can't run."""
    try:
        by.require_flow(flow_id)
        return engine.intake.called_flow(flow_id)
    except FlowNotFound:
        return None
