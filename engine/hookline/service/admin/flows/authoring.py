"""The admin API's routes for authors: they check, evaluate, try and backtest documents that aren't served yet.

Documents are compiled and run in processes of their own, with limits on time and memory: see
`hookline.simulation.authoring`.
"""

import asyncio
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from quart import Blueprint, Response

from hookline.access.audit import audited
from hookline.access.caller import Caller
from hookline.deployments.deployment_check import known_flows
from hookline.deployments.version_history import CURRENT
from hookline.engine import Engine
from hookline.flows.compiler.compile import variables_of
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import MAX_DOCUMENT
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
from hookline.model.message import Message
from hookline.service.admin.executions.recordings import WholeRecordingView, recorded, recorded_one
from hookline.service.admin.flows.authoring_views import (
    EITHER,
    STEP_OF_EXECUTION,
    BacktestView,
    CaseView,
    CheckRequest,
    CheckView,
    ComparedView,
    DifferencesView,
    DocumentRequest,
    EvaluatedStepView,
    EvaluateRequest,
    EvaluateStepRequest,
    EvaluateView,
    FormattedView,
    TestRequest,
    TestView,
    TriedDocumentRequest,
    TryRequest,
    TryView,
    check_view,
    evaluated_view,
    test_view,
    try_view,
)
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    Parameter,
    Query,
    bounded_document,
    decode_body,
    page_or_malformed,
    read_body,
    read_query,
    require_flow,
    time,
)
from hookline.service.admin.responses import json_response
from hookline.service.admin.system.credentials import visible_credentials
from hookline.simulation.authoring.cut_document import keep_known_stubs
from hookline.simulation.authoring.jobs import (
    BacktestJob,
    BacktestResult,
    CaseJob,
    CaseMade,
    CasesRun,
    CheckJob,
    CheckResult,
    CompareJob,
    CompareResult,
    EvaluatedStep,
    EvaluateJob,
    EvaluateResult,
    EvaluateStepJob,
    FormatJob,
    FormatResult,
    GivenDocument,
    GivenMessage,
    RunCasesJob,
    TryJob,
    TryResult,
)
from hookline.simulation.authoring.real_effects import RealEffects
from hookline.simulation.authoring.try_document import compile_until, read_given

_BACKTEST: Final[Query] = (
    time("since", "Only executions whose message was accepted at this time or later."),
    *PAGE,
)
_CASE: Final[Query] = (
    Parameter("name", "The name of the case.", {"type": "string", "minLength": 1, "maxLength": 200}, required=True),
)
_MAX_RECORDINGS: Final = 16_000_000
"""The bytes of recordings after which a page ends."""
_RECORDINGS_AT_ONCE: Final = 10
_LITTLE_WORK: Final = 50_000
"""The bytes of a document that is compiled within a second, whatever it has."""
_Document = Annotated[DocumentRequest, EITHER]
_Check = Annotated[CheckRequest, EITHER]
_Try = Annotated[TryRequest, EITHER]
_Test = Annotated[TestRequest, EITHER]
_EvaluateStep = Annotated[EvaluateStepRequest, EITHER]
_Evaluate = Annotated[EvaluateRequest, STEP_OF_EXECUTION]
_AGAINST: Final[Query] = (
    Parameter(
        "against",
        "The version with which it is compared, by its first digits, or `current`.",
        {"type": "string", "minLength": 1, "default": CURRENT},
    ),
)
_WORK: Final = (FlowInvalid, FlowNotFound, WorkLimit)
_RECORDING: Final = (ExecutionNotFound, IllegalStateChange, BlobGone)


def add_authoring(api: Blueprint, engine: Engine) -> None:

    @api.post("/check")
    @operation(CheckView, request=_Check, scope=TokenScope.AUTHOR, errors=_WORK)
    async def check_document() -> Response:
        """Check a document: get its problems, and the types of the values in scope at each step. Nothing is changed."""
        given = decode_body(await read_body(), CheckRequest)
        async with engine.authoring.slot():
            cases = await _cases_of(engine, caller(), given)
            return json_response(check_view(await _checked(engine, caller(), given, cases, given.scopes == "changes")))

    @api.post("/format")
    @operation(FormattedView, request=_Document, scope=TokenScope.AUTHOR, errors=_WORK)
    async def format_document() -> Response:
        """Write a document in canonical form, as `hookline fmt` does. Only the order of keys and the layout change."""
        given = decode_body(await read_body(), DocumentRequest)
        async with engine.authoring.slot():
            result = await engine.authoring.run(FormatJob(_document(engine, caller(), given).source), FormatResult)
        return json_response(FormattedView(result.text))

    @api.post("/diff")
    @operation(DifferencesView, request=_Document, query=_AGAINST, scope=TokenScope.AUTHOR, errors=_WORK)
    async def compare_document() -> Response:
        """Compare a document with a version of its flow by meaning, by default with the one that serves."""
        given, against = decode_body(await read_body(), DocumentRequest), read_query(_AGAINST)["against"]
        document = _document(engine, caller(), given)
        flow_id = _id_of(document)
        await require_flow(engine, flow_id)
        version = await engine.version_history.resolve(flow_id, against)
        old = bytes(await engine.version_history.document(flow_id, version))
        async with engine.authoring.slot():
            result = await engine.authoring.run(CompareJob(old, document.source), CompareResult)
        return json_response(DifferencesView(flow_id, version, list(result.differences)))

    @api.post("/test")
    @operation(TestView, request=_Test, scope=TokenScope.AUTHOR, errors=_WORK)
    async def test_document() -> Response:
        """Run the cases of a document, as `hookline test` does, and show which steps no case reaches.

        Nothing is stored, and nothing has an effect outside. The cases can't use files or call other
        flows.
        """
        given = decode_body(await read_body(), TestRequest)
        cases = bounded_document(bytes(given.cases))
        async with engine.authoring.slot():
            job = RunCasesJob(_document(engine, caller(), given), cases, given.names)
            return json_response(test_view(await engine.authoring.run(job, CasesRun)))

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
            raise Malformed("`step` names a step of an execution, so give `execution_id`, too.")
        async with engine.authoring.slot():
            result = await engine.authoring.run(job, EvaluateResult)
        return json_response(EvaluateView(msgspec.Raw(result.value), result.type, list(result.problems)))

    @api.post("/evaluate-step")
    @operation(EvaluatedStepView, request=_EvaluateStep, scope=TokenScope.AUTHOR, errors=(*_WORK, *_RECORDING))
    async def evaluate_step() -> Response:
        """Evaluate each expression of a step of a document on a message. The steps before it run without effects."""
        given = decode_body(await read_body(), EvaluateStepRequest)
        recording = None if given.execution_id is None else await _recording(engine, caller(), given.execution_id)
        job = EvaluateStepJob(
            _document(engine, caller(), given),
            given.step,
            _case(given),
            None if recording is None else encode(recording),
            given.turn,
        )
        async with engine.authoring.slot():
            result = await engine.authoring.run(job, EvaluatedStep)
        return json_response(evaluated_view(result))

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
                f"With real effects, the message, stubs and answers may have at most {MAX_DOCUMENT:,} bytes together."
            )
        async with engine.authoring.slot():
            if given.effects == "real":
                result = await _try_for_real(engine, by, given, case, recording)
            else:
                document = _document(engine, caller(), given)
                job = TryJob(document, case, None if recording is None else encode(recording), given.until)
                result = await engine.authoring.run(job, TryResult)
        return json_response(try_view(result, given.effects))

    @api.post("/backtest")
    @operation(BacktestView, request=_Document, query=_BACKTEST, scope=TokenScope.AUTHOR, errors=_WORK)
    async def backtest_flow() -> Response:
        """Compare a document with executions of its flow that have ended, the newest first, a page at a time.

        Nothing is sent or written: each step with effects gets the result that was recorded for it.
        """
        given, page = decode_body(await read_body(), DocumentRequest), read_query(_BACKTEST)
        document = _document(engine, caller(), given)
        flow_id = _id_of(document)
        await require_flow(engine, flow_id)
        async with engine.authoring.slot():
            recordings, following = await _recordings(engine, flow_id, page)
            result = await engine.authoring.run(BacktestJob(document, tuple(recordings)), BacktestResult)
        compared = msgspec.json.decode(result.backtest, type=ComparedView)
        return json_response(BacktestView(**msgspec.structs.asdict(compared), next=following))

    @api.get("/executions/<execution_id>/case")
    @operation(CaseView, query=_CASE, scope=TokenScope.AUTHOR, errors=(*_WORK, *_RECORDING))
    async def make_case(execution_id: str) -> Response:
        """Make a test case of an execution that has ended, as `hookline test --record` does. It isn't saved."""
        name = read_query(_CASE)["name"]
        async with engine.authoring.slot():
            recording = await _recording(engine, caller(), execution_id)
            document = await _version_that_ran(engine, recording)
            made = await engine.authoring.run(CaseJob(document, encode(recording), name), CaseMade)
        return json_response(CaseView(msgspec.Raw(made.case), list(made.left_out)))


def _raw(value: msgspec.Raw | msgspec.UnsetType) -> bytes:
    return b"null" if value is msgspec.UNSET else bytes(value)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _document(engine: Engine, by: Caller, given: DocumentRequest) -> GivenDocument:
    """The document of a request. Raises Malformed unless exactly one of `document` and `text` is given.

    Raises TooLarge, and FlowNotFound if the caller may not know of the flow that the document names.
    """
    if (given.document is msgspec.UNSET) == (given.text is None):
        raise Malformed("Give either `document` or `text`, not both.")
    source = bounded_document(given.text.encode() if given.text is not None else _raw(given.document))
    flow_id = named_id(source)
    if flow_id is None:
        return GivenDocument(source)
    by.require_flow(flow_id)
    return _of_flow(engine, flow_id, source)


async def check_work(engine: Engine, documents: Iterable[bytes]) -> None:
    """Raise WorkLimit for documents that would take this process more work than a request may cause.

    They are checked in a worker process first. So whatever can be deployed can also be checked.
    """
    for source in documents:
        if len(source) > _LITTLE_WORK:
            async with engine.authoring.slot():
                await engine.authoring.run(CheckJob(GivenDocument(source), None, {}), CheckResult)


def _of_flow(engine: Engine, flow_id: str, source: bytes) -> GivenDocument:
    """The document of a flow that the caller may know of, with the variables of that flow alone."""
    return GivenDocument(source, variables_of(flow_id, engine.options.environment))


async def _cases_of(engine: Engine, by: Caller, given: CheckRequest) -> bytes:
    """The cases for a check; null if the flow has none, or the caller doesn't see it."""
    if given.cases is not msgspec.UNSET or given.flow_id is None:
        return _raw(given.cases)
    seen = given.flow_id in engine.catalog.entries and by.sees(given.flow_id)
    found = await engine.flow_storage.cases(given.flow_id) if seen else None
    try:
        # Somebody may have stored what can't be read; then they show nothing.
        return bytes(msgspec.json.decode(found or b"null", type=msgspec.Raw))
    except msgspec.DecodeError:
        return b"null"


async def _checked(
    engine: Engine, by: Caller, given: DocumentRequest, cases: bytes = b"null", only_changes: bool = False
) -> CheckResult:
    document = _document(engine, by, given)
    await engine.credentials.load()
    credentials = {one.name: one.known for one in visible_credentials(engine, by)}
    job = CheckJob(
        document,
        credentials,
        known_flows(engine.catalog.entries, by.flows),
        cases,
        engine.options.unverified_flows,
        engine.options.public_url_set,
        only_changes,
    )
    return await engine.authoring.run(job, CheckResult)


def _case(given: TriedDocumentRequest) -> bytes:
    """JSON of a case without name and expectations."""
    parts = {name: getattr(given, name) for name in ("input", "stubs", "answers", "state", "vars", "now")}
    return encode({name: part for name, part in parts.items() if part is not msgspec.UNSET})


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
    return _of_flow(engine, recording.flow_id, bytes(source))


def _id_of(document: GivenDocument) -> str:
    """The id that a document names. Raises FlowInvalid."""
    found = named_id(document.source)
    if found is None:
        problem = Problem("the document has no id", "/id", "invalid_value", 'add "id" with the id of the flow')
        raise FlowInvalid([problem])
    return found


class _Named(msgspec.Struct):
    id: Any = None


def named_id(source: bytes) -> str | None:
    """The id that counts for the reader of documents, `read`; None if it finds none.

    A document of any size is read at once, since nothing but the id is kept.
    """
    try:
        found = msgspec.json.decode(source.removeprefix(BOM_UTF8), type=_Named).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


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
    document = _document(engine, by, given)
    flow = await asyncio.to_thread(compile_until, document, given.until, engine.registry)
    by.require_flow(flow.id)
    if given.until is not None:
        case = await asyncio.to_thread(keep_known_stubs, case, flow)
    asked = await asyncio.to_thread(read_given, case, flow, engine.registry)
    message = Message(asked.input.body, _lower(asked.input.headers))
    if asked.input.attachments:
        raise Malformed(
            "With real effects, `input` can't have attachments; give the `execution_id` of an execution that has them."
        )
    if recording is not None and given.input is msgspec.UNSET:
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
