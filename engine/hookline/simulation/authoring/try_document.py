"""Trying a document on a message without effects: steps with effects are stubbed, and time is simulated."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.model_problems import model_problems
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import decode, encode
from hookline.model.execution import StepRecord
from hookline.model.message import Envelope
from hookline.sdk.action import Action, Reply
from hookline.secrets.encryption import Vault
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redaction, Redactor
from hookline.simulation.authoring.cut_document import cut_after, keep_known_stubs, lines_in
from hookline.simulation.authoring.jobs import MAX_ATTEMPTS, MAX_STEPS, GivenDocument, TryJob, TryResult
from hookline.simulation.case_run import open_runner
from hookline.simulation.cases import Case, case_problems
from hookline.simulation.recordings.recorded_case import recorded_input
from hookline.simulation.result import SimulationResult
from hookline.simulation.step_paths import step_paths
from hookline.simulation.stubs import CaseStubs, FinishedStub, NeverFinishedStub, PreparedStub

_MAX_BYTES: Final = 8_000_000
"""The most bytes of inputs and outputs in a result."""


class TryStubs(CaseStubs):
    """The stubs of a tried document. A step with effects but without a stub gives an empty result.

    Such a step is added to `without_stub`.
    """

    def __init__(self, case: Case, registry: Registry) -> None:
        super().__init__(case, registry)
        self.without_stub: list[str] = []

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """The stub's result, or its error; an empty result where an action that has effects has no stub."""
        found = super().call(path, attempt, action, settings)
        if found is None or self.has(path):
            return found
        self.without_stub.append(path)
        return PreparedStub(_empty)

    def flow(self, path: str, attempt: int, flow_id: str) -> FinishedStub | NeverFinishedStub | None:
        """The stub's result; without one the flow counts as completed with an empty body. It doesn't run."""
        found = super().flow(path, attempt, flow_id)
        if found is None:
            self.without_stub.append(path)
        return found or FinishedStub()


async def _empty() -> Reply:
    return Reply(None)


def try_document(job: TryJob, registry: Registry) -> TryResult:
    """Try a document without effects. Raises FlowInvalid with the problems of the document, or of what was given."""
    flow = compile_until(job.document, job.until, registry)
    given = job.given if job.until is None else keep_known_stubs(job.given, flow)
    case = read_given(given, flow, registry, job.recording)
    stubs = TryStubs(case, registry)
    with open_runner(registry) as runner:
        ran = runner.simulate(flow, case, stubs)
    return try_result(flow, ran.envelope, ran.result, stubs.without_stub)


def compile_given(document: GivenDocument, registry: Registry) -> CompiledFlow:
    """Compile a document. Raises FlowInvalid."""
    return compile_flow(document.source, registry, environment=document.environment)


def compile_until(document: GivenDocument, until: str | None, registry: Registry) -> CompiledFlow:
    """Compile a document up to and including the step at a pointer, or all of it. Raises FlowInvalid."""
    if until is None:
        return compile_given(document, registry)
    with lines_in(document.source):
        return compile_given(cut_after(document, until), registry)


def read_given(given: bytes, flow: CompiledFlow, registry: Registry, recording: bytes | None = None) -> Case:
    """The case in a request: the message, the stubs and the answers.

    A recording supplies what the request doesn't give. Raises FlowInvalid, with pointers into the request.
    """
    value: dict[str, Any] = decode(given, exact=flow.exact)
    asked = {**value, "name": "try", "expect": {"outcome": "completed"}}
    try:
        case = Case.model_validate(asked)
    except ValidationError as error:
        raise FlowInvalid(model_problems(Case, asked, "", error), "the request is not valid") from error
    if problems := case_problems(case, flow, step_paths(flow)):
        raise FlowInvalid(problems, "the request is not valid")
    if recording is None:
        return case
    recorded = recorded_input(flow, decode(recording, exact=True), registry)
    united = {key: one for key, one in recorded.items() if key not in ("expect", "retries")} | asked
    for part in ("stubs", "answers", "state"):
        united[part] = {**recorded.get(part, {}), **value.get(part, {})}
    return Case.model_validate(decode(encode(united), exact=flow.exact))


def try_result(
    flow: CompiledFlow, envelope: Envelope, ended: SimulationResult, without_stub: Sequence[str]
) -> TryResult:
    """The result of a tried document, limited in size, with redacted values masked."""
    redactor = redactor_of(flow, envelope)
    records = [redactor.redact_entry(record) for record in _latest(ended.steps)]
    kept, more = _bounded(records)
    reply = None
    if ended.reply is not None:
        reply = encode(redactor.hidden.mask(decode(encode(ended.reply), exact=True)))
    return TryResult(
        flow_id=flow.id,
        flow_version=flow.version,
        execution_id=envelope.execution_id,
        outcome=None if ended.outcome is None else ended.outcome.value,
        error=None if ended.error is None else redactor.mask_error(ended.error),
        reason=ended.reason,
        body=encode(redactor.hidden.mask(ended.body)),
        reply=reply,
        records=tuple(kept),
        more_steps=more or len(ended.steps) > MAX_STEPS,
        stubbed=tuple(call.step for call in ended.calls[:MAX_STEPS]),
        without_stub=tuple(dict.fromkeys(without_stub))[:MAX_STEPS],
        unanswered=ended.unanswered[:MAX_STEPS],
        took=ended.took,
    )


def redactor_of(flow: CompiledFlow, envelope: Envelope) -> Redactor | NoRedactor:
    """The redactor of a flow, for a message that is never stored."""
    if flow.redaction_rules is None:
        return NO_REDACTOR
    # Nothing is stored, so the key is needed only now.
    redactor = Redaction(Vault((os.urandom(32),))).new_redactor(flow.redaction_rules)
    redactor.redact_message(envelope)
    return redactor


def _latest(steps: Mapping[str, Sequence[StepRecord]]) -> Iterator[StepRecord]:
    """Yield the newest attempts of the first `MAX_STEPS` steps; the path of each record is its key in `steps`."""
    for _, (place, records) in zip(range(MAX_STEPS), steps.items(), strict=False):
        for record in records[-MAX_ATTEMPTS:]:
            yield _at(record, place)


def _at(record: StepRecord, place: str) -> StepRecord:
    return record if record.path == place else msgspec.structs.replace(record, path=place)


def _bounded(records: Sequence[StepRecord]) -> tuple[list[StepRecord], bool]:
    """The records that fit into a result, and whether some don't."""
    left, kept = _MAX_BYTES, list[StepRecord]()
    for record in records:
        left -= len(record.input or b"") + len(record.output or b"")
        if left < 0:
            return kept, True
        kept.append(record)
    return kept, False
