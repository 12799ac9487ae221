"""Evaluating each expression of a step that is being written, on a message that the flow gets.

The steps before it run without effects, as they do when a document is tried. The step is replaced by a probe
that records its scope. Then each expression is evaluated by itself, so an invalid one doesn't affect the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from hookline.discovery.registry import Registry
from hookline.flows.blocks import step_type_of
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.compiler.compile import ON_ERROR_PREFIX
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.expressions import Condition, Expressions, Template
from hookline.flows.elements.message_scope import trigger_view
from hookline.flows.flow_provenance import Keys, Provenance
from hookline.flows.types.shape import of_value, shape_text
from hookline.kernel.errors import ExpressionError, Problem
from hookline.kernel.json import decode, encode
from hookline.kernel.pointers_and_patches import parts_of
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.operations.value_provenance import provenance_view
from hookline.sdk.action import Action, Reply
from hookline.sdk.mappers import Expression
from hookline.secrets.redaction import NoRedactor, Redactor
from hookline.simulation.authoring.cut_document import (
    exact_document,
    keep_known_stubs,
    lines_in,
    replace_rest,
    step_at,
)
from hookline.simulation.authoring.evaluate_expression import failed
from hookline.simulation.authoring.jobs import EvaluatedExpression, EvaluatedStep, EvaluateStepJob
from hookline.simulation.authoring.try_document import TryStubs, compile_given, read_given, redactor_of
from hookline.simulation.case_run import CaseRun, open_runner
from hookline.simulation.cases import Case
from hookline.simulation.stubs import PreparedStub

_ID: Final = "seen"
_MAX_READS: Final = 20
"""The most origins for one expression."""


def evaluate_step(job: EvaluateStepJob, registry: Registry) -> EvaluatedStep:
    """Evaluate the expressions of a step. Raises FlowInvalid with the problems of the steps before it, or of what was
    given."""
    document = exact_document(job.document.source)
    step, probe = step_at(document, job.step), _free_id(job.document.source)
    before = replace_rest(document, job.step, {"id": probe, "use": "map", "with": {"body": "$"}})
    with lines_in(job.document.source):
        flow = compile_given(msgspec.structs.replace(job.document, source=encode(before)), registry)
    case = read_given(keep_known_stubs(job.given, flow), flow, registry, job.recording)
    stubs = _SeeingStubs(case, registry, probe, job.turn)
    with open_runner(registry) as runner:
        ran = runner.simulate(flow, case, stubs)
    without_stub = tuple(dict.fromkeys(stubs.without_stub))
    redactor = redactor_of(flow, ran.envelope)
    error = None if ran.result.error is None else redactor.mask_error(ran.result.error)
    if stubs.seen is None:
        return EvaluatedStep(b"null", (), 0, error, without_stub)
    path, settings = stubs.seen
    scope = decode(settings, exact=flow.exact)["body"]
    _hide_results(redactor, ran)
    language = Expressions(registry.mappers, document.get("mappers", ()), exact=flow.exact)
    evaluator = _Evaluator(language, scope, redactor, _provenance(flow, ran, scope["vars"]), path)
    found = tuple(evaluator.evaluate(*one) for one in _expressions(step, job.step, language))
    return EvaluatedStep(encode(redactor.hidden.mask(scope)), found, stubs.turns, None, without_stub)


class _SeeingStubs(TryStubs):
    """The stubs of a tried document. They also record the settings of one step, in one of its runs."""

    def __init__(self, case: Case, registry: Registry, step_id: str, turn: int) -> None:
        super().__init__(case, registry)
        self._step_id = step_id
        self._turn = turn
        self.turns = 0
        """The runs of that step."""
        self.seen: tuple[str, bytes] | None = None
        """The path and the settings, as JSON, of the run that is asked for, or else of the last one."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """The stub's result; for that step, an empty one."""
        if without_items(path).rpartition("/")[2] != self._step_id:
            return super().call(path, attempt, action, settings)
        if self.turns <= self._turn:
            self.seen = path, encode(settings)
        self.turns += 1
        return PreparedStub(_empty)


async def _empty() -> Reply:
    return Reply(None)


def _free_id(source: bytes) -> str:
    step_id = _ID
    while f'"{step_id}"'.encode() in source:
        step_id += "_"
    return step_id


def _expressions(step: Mapping[str, Any], pointer: str, language: Expressions) -> Iterator[tuple[str, str, Any]]:
    """Pointer, language and text of each expression of a step, without those of the steps inside."""
    inside = tuple(f"{pointer}{below}/" for below, _ in step_type_of(step).lists(step))
    # It reads the callback, which isn't there yet.
    correlation = f"{pointer}/with/correlate/from" if step.get("use") == "webhook" else None
    for found in language.written(dict(step), pointer):
        if not found[0].startswith(inside) and found[0] != correlation:
            yield found


def _hide_results(redactor: Redactor | NoRedactor, ran: CaseRun) -> None:
    """Let the redactor know what the flow redacts of the results of steps."""
    for records in ran.result.steps.values():
        for record in records:
            redactor.redact_entry(record)


def _provenance(flow: CompiledFlow, ran: CaseRun, values: Mapping[str, Any]) -> Provenance:
    """`values`: the vars."""
    records: dict[str, StepRecord] = {path: entries[-1] for path, entries in ran.result.steps.items()}
    trigger = trigger_view(ran.envelope.message, ran.envelope.arrival)
    return Provenance(flow, trigger, values, records)


class _Evaluator:
    def __init__(
        self,
        language: Expressions,
        scope: Mapping[str, Any],
        redactor: Redactor | NoRedactor,
        provenance: Provenance,
        path: str,
    ) -> None:
        self._language = language
        self._scope = scope
        self._redactor = redactor
        self._provenance = provenance
        self._path = path

    def evaluate(self, pointer: str, name: str, value: Any) -> EvaluatedExpression:
        """Evaluate one expression."""
        template, problems = self._compiled(pointer, value)
        if problems:
            return EvaluatedExpression(pointer, name, problems=tuple(problems))
        reads = self._reads(template)
        try:
            found = template.evaluate(self._scope)
        except ExpressionError as error:
            message = self._redactor.hidden.mask_text(error.message)
            (problem,) = failed(ErrorInfo(error.code, message), value).problems
            return EvaluatedExpression(pointer, name, problems=(_placed(problem, pointer),), reads=reads)
        kind = shape_text(of_value(found))
        return EvaluatedExpression(pointer, name, encode(self._redactor.hidden.mask(found)), kind, reads=reads)

    def _compiled(self, pointer: str, value: Any) -> tuple[Template | Condition, Sequence[Problem]]:
        # Every condition is called `when`, and outside of `with` no other expression has this name.
        if parts_of(pointer)[-1] == "when" and "with" not in parts_of(pointer):
            return self._language.condition(value, pointer)
        return self._language.template(value, pointer)

    def _reads(self, template: Template | Condition) -> bytes:
        """The origins of what an expression reads."""
        if self._path.startswith(ON_ERROR_PREFIX):
            # Provenance goes back through the steps that ran before the error only.
            return b"[]"
        parts = [expression for _, expression in template.parts()]
        paths = [path for one in parts for path in _paths(one) if path]
        read = dict.fromkeys(_without_items(path, self._scope) for path in paths)
        found = [provenance_view(self._provenance.read_at(self._path, path)) for path in list(read)[:_MAX_READS]]
        return encode(self._redactor.hidden.mask(decode(encode(found), exact=True)))


def _paths(expression: Expression) -> Iterable[Keys]:
    if expression.reads is not None:
        return expression.reads
    return (reference.path for reference in expression.references)


def _without_items(path: Keys, scope: Any) -> Keys:
    """The part of a path up to the first list whose items it goes through."""
    for length, key in enumerate(path):
        if isinstance(scope, list) and not isinstance(key, int):
            return path[:length]
        try:
            scope = scope[key]
        except (KeyError, IndexError, TypeError):
            return path
    return path


def _placed(problem: Problem, pointer: str) -> Problem:
    return replace(problem, pointer=f"{pointer}{problem.pointer}")
