"""Type analysis: follow a flow's steps as an execution would, with shapes in place of values.

It doesn't use `step_walkers`: each kind of step decides which of its lists run, and in which scope.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final, TypeAlias

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.expressions import Condition, Template
from hookline.flows.elements.wait_page import PageTemplate
from hookline.flows.types.action_result import ResultShape, result_shape
from hookline.flows.types.json_schema import from_schema
from hookline.flows.types.return_annotation import metadata
from hookline.flows.types.sample_shapes import NO_SAMPLES, Samples
from hookline.flows.types.shape import (
    BOOLEAN,
    NULL,
    NUMBER,
    TEXT,
    UNKNOWN,
    Field,
    Likely,
    ListOf,
    OneOf,
    Record,
    Shape,
    StreamOf,
    Unknown,
    alternatives,
    closed,
    expected,
    join,
    likely,
    of_value,
)
from hookline.flows.types.type_scope import (
    ERROR,
    FIRING,
    HEADERS,
    MAYBE_TEXT,
    NO_HEADERS,
    MessageShape,
    TypeScope,
    join_messages,
    shape_of,
    trigger_shape,
)
from hookline.kernel.json import decode
from hookline.model.webhook import FieldType
from hookline.sdk.action import EndsExecution, PassesIf

Compiled: TypeAlias = Template | Condition


@dataclass(frozen=True, slots=True)
class StepAnalysis:
    """A step that is reached, with the scopes before and after it."""

    compiled: CompiledStep
    scope: TypeScope
    behind: TypeScope | None
    """The scope after it; None if no step runs after it."""


@dataclass(slots=True)
class FlowAnalysis:
    """The result of the analysis of one flow."""

    start: TypeScope
    expressions: list[tuple[Compiled, TypeScope]] = field(default_factory=list)
    """Each expression with its scope, in the order in which they run."""
    visits: list[StepAnalysis] = field(default_factory=list)
    unreachable: list[tuple[CompiledStep, CompiledStep]] = field(default_factory=list)
    """The first step of each list that never runs, and the step before it, which prevents that."""


def analyse_flow(flow: CompiledFlow, samples: Samples = NO_SAMPLES) -> FlowAnalysis:
    """Analyse a flow."""
    return _Analyser(flow, samples).whole()


def _first(flow: CompiledFlow, samples: Samples) -> Shape:
    """The shape of the body that starts the flow."""
    if flow.schema is not None:
        return from_schema(decode(flow.source)["schema"])
    return FIRING if flow.trigger.schedule is not None else samples.body


def _start(flow: CompiledFlow, samples: Samples) -> TypeScope:
    message = MessageShape(_first(flow, samples))
    execution: dict[str, Field] = {
        "id": Field(TEXT),
        "attempt": Field(NUMBER),
        "started_at": Field(TEXT),
        "now": Field(TEXT),
    }
    if flow.wait_places:
        hooks = {place.id: Field(closed(url=TEXT), place.item_of is None) for place in flow.wait_places}
        execution["hooks"] = Field(Record(hooks, closed=True))
    # The environment of the server may set other values than the one in which the check runs.
    vars = Record({name: Field(_opened(of_value(value))) for name, value in flow.vars.items()}, closed=True)
    return TypeScope(message, trigger_shape(message), vars, Record(execution, closed=True))


def _opened(shape: Shape) -> Shape:
    if isinstance(shape, Record):
        return replace(shape, closed=False)
    return UNKNOWN if not isinstance(shape, ListOf) else ListOf(UNKNOWN)


class _Analyser:
    def __init__(self, flow: CompiledFlow, samples: Samples) -> None:
        self._flow = flow
        self._samples = samples
        self._out = FlowAnalysis(_start(flow, samples))
        self._filtered: list[MessageShape] = []

    def whole(self) -> FlowAnalysis:
        flow, start = self._flow, self._out.start
        arriving = replace(start, execution=UNKNOWN)
        for key in (flow.trigger.dedupe_key, flow.order_by):
            for part in key.parts if key is not None else ():
                self._out.expressions.append((part, arriving))
        self._out.expressions += [(tag, arriving) for tag in flow.tags.templates.values()] if flow.tags else []
        end = self._steps(flow.steps, start)
        if flow.on_error_steps:
            known: dict[str, Shape] = {visit.compiled.id: UNKNOWN for visit in self._out.visits}
            if end is not None:
                known |= end.results_since(start)
            self._steps(flow.on_error_steps, replace(start.knowing(known), names={"error": ERROR}))
        return self._out

    def _steps(self, steps: Sequence[CompiledStep], scope: TypeScope) -> TypeScope | None:
        """The scope after a list of steps; None if the end is never reached."""
        here: TypeScope | None = scope
        for number, step in enumerate(steps):
            if here is None:
                self._out.unreachable.append((step, steps[number - 1]))
                return None
            here = self._step(step, here)
        return here

    def _step(self, step: CompiledStep, scope: TypeScope) -> TypeScope | None:
        inner = scope
        if step.when is not None:
            self._out.expressions.append((step.when, scope))
            inner = _guarded(scope, step.when)
        at = len(self._out.visits)
        behind = _BLOCKS[type(step)](self, step, inner)
        if step.when is not None:
            behind = _maybe(step, scope, behind)
        self._out.visits.insert(at, StepAnalysis(step, scope, behind))
        return behind

    @contextmanager
    def _filters(self) -> Iterator[list[MessageShape]]:
        """Collect the messages that filters stop inside the context."""
        outer, self._filtered = self._filtered, []
        try:
            yield self._filtered
        finally:
            self._filtered = outer

    def action(self, step: CompiledAction, scope: TypeScope) -> TypeScope | None:
        self._out.expressions.append((step.settings, scope))
        outcome = result_shape(step, scope)
        message = outcome.message
        if isinstance(message.body, Unknown):
            message = replace(message, body=self._samples.results.get(step.id, UNKNOWN))
        for mark in metadata(step.action.returns):
            if isinstance(mark, EndsExecution):
                return self._failing(step, scope) if step.on_error == "continue" else None
            if isinstance(mark, PassesIf):
                self._filtered.append(scope.message)
                keep = (step.settings.fields or {}).get(mark.name)
                if keep is not None and keep.constant and keep.value is False:
                    return None
                if keep is not None:
                    scope = _guarded(scope, keep)
        return self._settled(step, scope, ResultShape(message, _with_body(outcome.view, message.body)))

    def _settled(
        self, step: CompiledAction | CompiledCall | CompiledWait | CompiledBatch, scope: TypeScope, outcome: ResultShape
    ) -> TypeScope:
        """The scope after a step that may fail."""
        if step.on_error == "fail":
            return scope.with_message(outcome.message).after(step.id, outcome.view)
        view = outcome.view
        failed = Field(ERROR, required=False)
        if isinstance(view, Record):
            body = view.fields.get("body", Field(UNKNOWN))
            fields = {
                name: replace(one, required=False) if name != "body" else one for name, one in view.fields.items()
            }
            fields["body"] = Field(join((body.shape, scope.message.body)))
            view = replace(view, fields={**fields, "error": failed})
        return scope.with_message(join_messages((outcome.message, scope.message))).after(step.id, view)

    def _failing(self, step: CompiledStep, scope: TypeScope) -> TypeScope:
        return scope.after(step.id, closed(body=scope.message.body, error=ERROR))

    def call(self, step: CompiledCall, scope: TypeScope) -> TypeScope:
        self._out.expressions += [(each, scope) for each in (step.body, step.headers) if each is not None]
        if not step.wait:
            body: Shape = closed(execution_id=TEXT)
            return self._settled(
                step,
                scope,
                ResultShape(MessageShape(body, NO_HEADERS, scope.message.attachments), _view(body, execution_id=TEXT)),
            )
        body = self._samples.results.get(step.id, UNKNOWN)
        return self._settled(
            step, scope, ResultShape(MessageShape(body, NO_HEADERS), _view(body, execution_id=TEXT, outcome=TEXT))
        )

    def wait(self, step: CompiledWait, scope: TypeScope) -> TypeScope:
        if step.key is not None:
            self._out.expressions.append((step.key, scope))
        if step.page is None:
            body = self._samples.results.get(step.id, UNKNOWN)
        else:
            self._out.expressions += [(each, scope) for each in step.page.templates.values()]
            body = _page_body(step.page, scope)
        view = _view(
            body,
            headers=HEADERS,
            method=TEXT,
            query=Record(),
            received_at=MAYBE_TEXT,
            verified_by=MAYBE_TEXT,
        )
        view = replace(view, fields={**view.fields, "attachments": replace(view.fields["attachments"], required=True)})
        return self._settled(step, scope, ResultShape(MessageShape(body), view))

    def batch(self, step: CompiledBatch, scope: TypeScope) -> TypeScope:
        self._out.expressions += [(each, scope) for each in (step.key, step.body) if each is not None]
        added = scope.message.body if step.body is None else shape_of(step.body, scope)
        body = ListOf(added)
        view = _view(body, executions=ListOf(TEXT))
        return self._settled(step, scope, ResultShape(MessageShape(body, NO_HEADERS, scope.message.attachments), view))

    def switch(self, step: CompiledSwitch, scope: TypeScope) -> TypeScope | None:
        ends: list[TypeScope] = []
        messages: list[MessageShape] = []
        before, chosen = scope, False
        with self._filters() as filtered:
            for case in step.cases:
                inner = before
                if case.when is not None:
                    self._out.expressions.append((case.when, before))
                    inner = _guarded(before, case.when)
                chosen = chosen or case.when is None
                end = self._steps(case.steps, inner)
                if end is not None:
                    ends.append(end)
                    messages.append(end.message)
                if step.match == "all" and end is not None:
                    before = before.knowing(end.results_since(before))
            messages += filtered
        if not chosen:
            messages.append(scope.message)
        if not messages:
            return None
        behind = _known(scope, ends)
        return behind.with_message(scope.message if step.match == "all" else join_messages(messages))

    def foreach(self, step: CompiledForeach, scope: TypeScope) -> TypeScope:
        self._out.expressions.append((step.items, scope))
        items = shape_of(step.items, scope)
        item = join(one.item if isinstance(one, ListOf | StreamOf) else UNKNOWN for one in _listed(expected(items)))
        item = likely(item) if isinstance(items, Likely) else item
        inner = scope.with_message(replace(scope.message, body=item, headers=NO_HEADERS))
        inner = replace(inner, names={**inner.names, step.as_name: item, "index": NUMBER})
        with self._filters():
            end = self._steps(step.steps, inner)
        result = end.message.body if end is not None else UNKNOWN
        counts = closed(count=NUMBER, failed=NUMBER)
        # A large number of results becomes a stream.
        lists = OneOf((ListOf(result), StreamOf(result)))
        streams = [isinstance(one, StreamOf) for one in _listed(expected(items))]
        if step.collect == "count" or (step.collect is None and all(streams)):
            body: Shape = counts
        elif step.collect is None and (any(streams) or isinstance(items, Unknown | Likely)):
            body = join((counts, *lists.options))
        else:
            body = lists
        message = MessageShape(body, NO_HEADERS, scope.message.attachments)
        view = Record({"body": Field(body)})
        return scope.with_message(message).after(step.id, view)

    def parallel(self, step: CompiledParallel, scope: TypeScope) -> TypeScope:
        results: dict[str, Field] = {}
        for name, steps in step.branches.items():
            with self._filters() as filtered:
                end = self._steps(steps, scope)
                sure = end is not None and not filtered and step.on_error == "fail"
                results[name] = Field(end.message.body if end is not None else UNKNOWN, sure)
        body = Record(results, closed=True)
        view = _view(body)
        if step.on_error == "continue":
            errors = Record({name: Field(ERROR, required=False) for name in step.branches}, closed=True)
            view = replace(view, fields={**view.fields, "errors": Field(errors, required=False)})
        return scope.with_message(MessageShape(body, NO_HEADERS, scope.message.attachments)).after(step.id, view)

    def attempt(self, step: CompiledTry, scope: TypeScope) -> TypeScope | None:
        at = len(self._out.visits)
        tried = self._steps(step.steps, scope)
        inside = [visit.compiled.id for visit in self._out.visits[at:]]
        started = scope.knowing(dict.fromkeys(inside, UNKNOWN) if tried is None else tried.results_since(scope))
        ends = [tried]
        if step.catch_steps is not None:
            caught = replace(started, message=scope.message, names={**scope.names, "error": ERROR})
            handled = self._steps(step.catch_steps, caught)
            ends.append(handled if handled is None else replace(handled, names=scope.names))
        reached = [end for end in ends if end is not None]
        behind = reduce(lambda one, end: one.knowing(end.results_since(scope)), reached, started)
        if step.finally_steps:
            self._steps(
                step.finally_steps,
                behind.with_message(join_messages([scope.message, *(end.message for end in reached)])),
            )
        if not reached:
            return None
        message = join_messages(end.message for end in reached)
        view = _view(message.body)
        if step.catch_steps is not None:
            view = replace(view, fields={**view.fields, "error": Field(ERROR, required=False)})
        return replace(behind.with_message(message), names=scope.names).after(step.id, view)


_BLOCKS: Final[Mapping[type[CompiledStep], Callable[[_Analyser, Any, TypeScope], TypeScope | None]]] = {
    CompiledAction: _Analyser.action,
    CompiledCall: _Analyser.call,
    CompiledWait: _Analyser.wait,
    CompiledBatch: _Analyser.batch,
    CompiledSwitch: _Analyser.switch,
    CompiledForeach: _Analyser.foreach,
    CompiledParallel: _Analyser.parallel,
    CompiledTry: _Analyser.attempt,
}


def _view(body: Shape, **besides: Shape) -> Record:
    """The shape of a step's result. It has attachments beside the body if there are any."""
    fields = {"body": Field(body), **{name: Field(shape) for name, shape in besides.items()}}
    return Record({**fields, "attachments": Field(UNKNOWN, required=False)}, closed=True)


def _page_body(page: PageTemplate, scope: TypeScope) -> Shape:
    """The shape of the input of a page: its fields, with the body of one of its choices merged over them."""
    fields: dict[str, Field] = {}
    for name, one in page.settings.fields.items():
        shape = _FIELD_SHAPES.get(one.type, TEXT)
        fields[name] = Field(shape if one.required or shape is BOOLEAN else join((shape, NULL)))
    merged: list[Shape] = []
    for number, _ in enumerate(page.settings.choices):
        body = shape_of(page.templates[f"/choices/{number}/body"], scope)
        merged.append(replace(body, fields={**fields, **body.fields}) if isinstance(body, Record) else UNKNOWN)
    return join(merged) if merged else Record(fields, closed=True)


_FIELD_SHAPES: Final[Mapping[FieldType, Shape]] = {"number": NUMBER, "integer": NUMBER, "boolean": BOOLEAN}


def _with_body(view: Shape, body: Shape) -> Shape:
    return replace(view, fields={**view.fields, "body": Field(body)}) if isinstance(view, Record) else view


def _listed(items: Shape) -> tuple[Shape, ...]:
    """The alternatives that are lists; null is an empty list."""
    given = tuple(one for one in alternatives(items) if isinstance(one, ListOf | StreamOf))
    return given or (UNKNOWN,)


def _known(scope: TypeScope, ends: Iterable[TypeScope]) -> TypeScope:
    """The scope after a block in which some of the steps have run."""
    found: dict[str, list[Shape]] = {}
    for end in ends:
        for name, shape in end.results_since(scope).items():
            found.setdefault(name, []).append(shape)
    return scope.knowing({name: join(shapes) for name, shapes in found.items()})


def _maybe(step: CompiledStep, scope: TypeScope, behind: TypeScope | None) -> TypeScope | None:
    """The scope after a step that its `when` may skip."""
    if behind is None:
        return scope
    known = scope.knowing(behind.results_since(scope))
    return known.with_message(join_messages((behind.message, scope.message)))


def _guarded(scope: TypeScope, condition: Compiled) -> TypeScope:
    asked = {reference.path for reference in condition.references if reference.optional}
    return replace(scope, guarded=scope.guarded | asked) if asked else scope
