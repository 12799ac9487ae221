"""Evaluating an expression on a message, or as a step of a recorded execution would.

To evaluate an expression at a step, a step with the expression is inserted before it in the version that ran. That
version is then played on the recording, so the expression sees the values that the step saw.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hookline.discovery.registry import Registry
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.compiler.compile import compile_document, compile_flow
from hookline.flows.documents.read import read
from hookline.flows.elements.expressions import Expressions
from hookline.flows.elements.message_scope import arrival_scope
from hookline.flows.types.shape import of_value, shape_text
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import ExpressionError, FlowInvalid, Problem
from hookline.kernel.json import decode, encode
from hookline.kernel.pointers_and_patches import value_at
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.execution import ErrorInfo
from hookline.model.message import Arrival, Message
from hookline.simulation.authoring.jobs import EvaluateJob, EvaluateResult, GivenDocument
from hookline.simulation.case_run import open_runner
from hookline.simulation.recordings.backtest import play
from hookline.simulation.step_paths import step_paths

_ID: Final = "evaluated"
_REMEDIES: Final = {
    "expression.missing": 'name a value that exists, or give a default: {"jsonpath": "…", "default": …}',
    "expression.limit": "do less in one expression, or make the message smaller",
}


def evaluate_expression(job: EvaluateJob, registry: Registry) -> EvaluateResult:
    """Evaluate an expression. Raises FlowInvalid if the version of the recording can't be compiled now."""
    value = decode(job.expression)
    if job.recording is None or job.document is None:
        scope = _scope(job, Message(decode(job.message.body, exact=job.exact), dict(job.message.headers)))
        return _evaluate(job, value, job.mappers, registry, scope, exact=job.exact)
    recording = decode(job.recording, exact=True)
    flow = compile_flow(job.document.source, registry, environment=job.document.environment)
    mappers = (*decode(job.document.source).get("mappers", ()), *job.mappers)
    if job.step is None:
        body = decode(encode(recording["body"]), exact=flow.exact)
        scope = _scope(job, Message(body, recording["headers"]), recording) | {"vars": flow.vars}
        return _evaluate(job, value, mappers, registry, scope, exact=flow.exact)
    _, problems = Expressions(registry.mappers, mappers, exact=flow.exact).template(value)
    if problems:
        return EvaluateResult(problems=tuple(problems))
    paths = step_paths(flow).steps
    step = paths.get(without_items(job.step))
    if step is None:
        remedy = did_you_mean(job.step, paths, f"there are {', '.join(paths)}")
        problem = Problem(f"the flow has no step {job.step!r}", "", "unknown_step", remedy)
        return EvaluateResult(problems=(problem,))
    return _at_step(job.document, job.step, step.pointer, value, mappers, recording, registry)


def _scope(job: EvaluateJob, message: Message, recording: Mapping[str, Any] | None = None) -> dict[str, Any]:
    now = rfc3339(datetime.now(UTC)) if recording is None else recording["started_at"] or recording["created_at"]
    trigger = {} if recording is None else recording["trigger"]
    arrival = Arrival(
        use=trigger.get("use", "webhook"),
        method=trigger.get("method"),
        path=trigger.get("path", ""),
        query=trigger.get("query", {}),
        received_at=datetime.fromisoformat(trigger.get("received_at") or now),
        verified_by=trigger.get("verified_by"),
    )
    execution = {"id": "" if recording is None else recording["id"], "attempt": 1, "started_at": now, "now": now}
    return {
        **arrival_scope(message, arrival, decode(job.vars, exact=job.exact)),
        "steps": decode(job.steps, exact=job.exact),
        "execution": execution,
    }


def _evaluate(
    job: EvaluateJob,
    value: Any,
    mappers: tuple[str, ...],
    registry: Registry,
    scope: Mapping[str, Any],
    *,
    exact: bool,
) -> EvaluateResult:
    template, problems = Expressions(registry.mappers, mappers, exact=exact).template(value)
    if problems:
        return EvaluateResult(problems=tuple(problems))
    try:
        found = template.evaluate(scope)
    except ExpressionError as error:
        return failed(ErrorInfo(error.code, error.message), value)
    return _found(found)


def _found(value: Any) -> EvaluateResult:
    return EvaluateResult(encode(value), shape_text(of_value(value)))


def failed(error: ErrorInfo, value: Any) -> EvaluateResult:
    """The problem of an expression that failed.

    If the value contains several expressions, the message of `error` begins with the place of the one that failed.
    """
    place = error.message.partition(": ")[0] if isinstance(value, dict | list) else ""
    pointer = place if place.startswith("/") else ""
    message = error.message.removeprefix(f"{place}: ") if pointer else error.message
    return EvaluateResult(problems=(Problem(message, pointer, error.code, _REMEDIES.get(error.code, "")),))


def _at_step(
    document: GivenDocument,
    step: str,
    pointer: str,
    value: Any,
    mappers: tuple[str, ...],
    recording: Mapping[str, Any],
    registry: Registry,
) -> EvaluateResult:
    changed, step_id = _with_step(document.source, pointer, value, mappers)
    compiled = compile_document(read(encode(changed)), registry, environment=document.environment)
    if compiled.flow is None:
        place = f"{pointer}/with/body"
        own = [problem for problem in compiled.errors if problem.pointer.startswith(place)]
        if not own:
            raise FlowInvalid(compiled.errors)
        return EvaluateResult(
            problems=tuple(
                Problem(one.message, one.pointer.removeprefix(place), one.code, one.remedy, one.severity) for one in own
            )
        )
    with open_runner(registry) as runner:
        ended, _ = play(compiled.flow, recording, runner, registry, None)
    path = "/".join([*step.split("/")[:-1], step_id])
    records = ended.steps.get(path)
    if not records:
        problem = Problem(
            f"the execution didn't reach step {step!r}", "", "not_reached", "choose a step that ran in the execution"
        )
        return EvaluateResult(problems=(problem,))
    record = records[-1]
    if record.error is not None or record.output is None:
        error = record.error or ErrorInfo("expression.failed", "it gave no value")
        return failed(_within_body(error), value)
    return _found(decode(record.output, exact=compiled.flow.exact)["body"])


def _within_body(error: ErrorInfo) -> ErrorInfo:
    """The error without the prefix `/body` of its place."""
    message = error.message.removeprefix("with: ").removeprefix("/body: ").removeprefix("/body")
    return ErrorInfo(error.code, message, error.step)


def _with_step(source: bytes, pointer: str, value: Any, mappers: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The document with a step before the one at a pointer, and the id of that step."""
    changed: dict[str, Any] = decode(source, exact=True)
    step_id = _ID
    while f'"{step_id}"'.encode() in source:
        step_id += "_"
    parent, _, index = pointer.rpartition("/")
    steps = value_at(changed, parent)
    steps.insert(int(index), {"id": step_id, "use": "map", "with": {"body": value}})
    if mappers:
        changed["mappers"] = list(dict.fromkeys(mappers))
    return changed, step_id
