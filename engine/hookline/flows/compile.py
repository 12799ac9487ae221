"""Compiling a flow: every name resolved, every expression compiled, every mistake found in one pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from hookline.errors import FlowInvalid, Problem
from hookline.expressions import Condition, Expressions, Template
from hookline.flows.body_schema import BodySchema, compile_schema
from hookline.flows.compiled import (
    ActionNode,
    Case,
    CompiledFlow,
    CompiledTrigger,
    ForeachNode,
    Node,
    RetryPolicy,
    SwitchNode,
)
from hookline.flows.keys import Key, compile_key
from hookline.flows.names import CredentialUse, unknown_component
from hookline.flows.overrides import override
from hookline.flows.read import Document, read
from hookline.flows.scope import ON_ARRIVAL, RESERVED, Names, Place
from hookline.flows.settings import settings_problems
from hookline.flows.step_ids import find_ids
from hookline.flows.structure import document_problems
from hookline.flows.trigger import compile_trigger
from hookline.flows.version import version_of
from hookline.jsontypes import canonical
from hookline.mapper import Reference
from hookline.model.flow import ActionStep, FlowDocument, ForeachStep, StepDocument, SwitchStep
from hookline.registry import Registry

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of a document."""

    flow: CompiledFlow | None
    """None where there is an error among the problems."""
    problems: tuple[Problem, ...]
    """In the order of the text, warnings included; each with its file and line."""
    credentials: tuple[CredentialUse, ...]
    """Every place that names a credential; whether there is one isn't looked at."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep it from running."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def compile_flow(
    source: bytes | Document,
    registry: Registry,
    *,
    file: str | None = None,
    environment: Mapping[str, str] = _NOTHING,
) -> CompiledFlow:
    """A flow ready to run.

    `environment` holds the variables that may override its vars; they aren't part of its version. Raises FlowInvalid
    with every error in it.
    """
    document = read(source, file) if isinstance(source, bytes) else source
    examined = examine(document, registry, environment=environment)
    if examined.flow is None:
        raise FlowInvalid(examined.errors)
    return examined.flow


def examine(document: Document, registry: Registry, *, environment: Mapping[str, str] = _NOTHING) -> Examined:
    """Compile a document, and find everything that is wrong with it, warnings included."""
    compiler = _Compiler(document, registry, environment)
    flow = compiler.flow()
    problems = (*document.problems, *compiler.problems)
    if any(problem.severity == "error" for problem in problems):
        flow = None
    return Examined(flow, tuple(document.place(problems)), tuple(compiler.credentials))


class _Compiler:
    """Compiles one document.

    It goes over the JSON itself and takes nothing for granted, so that a mistake in one place doesn't hide those in
    others; what is typed (durations, say) comes from the model, which exists where the document's form is right.
    """

    def __init__(self, document: Document, registry: Registry, environment: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.credentials: list[CredentialUse] = []
        self._value = document.value
        self._registry = registry
        self._raw: Mapping[str, Any] = document.value if isinstance(document.value, dict) else {}
        self._model: FlowDocument | None = None
        try:
            self._model = FlowDocument.model_validate(document.value)
        except ValidationError as error:
            self.problems += document_problems(document.value, error)
        self._expressions = Expressions(registry.mappers, self._mappers())
        declared, flow_id = self._raw.get("vars"), self._raw.get("id")
        self._vars, problems = override(
            flow_id if isinstance(flow_id, str) else "", declared if isinstance(declared, dict) else {}, environment
        )
        self.problems += problems
        self._ids, problems = find_ids(self._raw.get("steps"))
        self.problems += problems
        self._names = Names(self._ids.pointers, self._vars.keys(), self._ids.items)

    def flow(self) -> CompiledFlow | None:
        """The compiled flow; None where that can't be."""
        trigger = self._trigger()
        schema = self._schema()
        order_by = self._order_by()
        steps, _ = self._steps(
            self._raw.get("steps"), self._model.steps if self._model is not None else None, "/steps", Place()
        )
        if self._model is None or trigger is None or any(problem.severity == "error" for problem in self.problems):
            return None
        return CompiledFlow(
            id=self._model.id,
            version=version_of(self._raw),
            document=self._model,
            source=canonical(self._value),
            trigger=trigger,
            vars=self._vars,
            steps=steps,
            schema=schema,
            credentials=frozenset(use.name for use in self.credentials),
            order_by=order_by,
        )

    def _mappers(self) -> list[str]:
        """The mappers that the flow lists, as far as they exist."""
        given = self._raw.get("mappers")
        named: list[str] = []
        for index, name in enumerate(given if isinstance(given, list) else ()):
            if not isinstance(name, str):
                continue
            if name in self._registry.mappers:
                named.append(name)
                continue
            pointer = f"/mappers/{index}"
            self.problems.append(unknown_component("mapper", name, self._registry.mappers, self._registry, pointer))
        return named

    def _trigger(self) -> CompiledTrigger | None:
        raw = self._raw.get("trigger")
        if not isinstance(raw, dict):
            return None
        arrival = Place(roots=ON_ARRIVAL)
        trigger, credential, problems = compile_trigger(
            raw, self._registry, self._expressions, lambda template: list(self._references(template, arrival))
        )
        if credential is not None:
            self.credentials.append(credential)
        self.problems += problems
        return trigger

    def _order_by(self) -> Key | None:
        arrival = Place(roots=ON_ARRIVAL)
        key, problems = compile_key(
            "order_by",
            self._raw.get("order_by"),
            "/order_by",
            self._expressions,
            lambda template: list(self._references(template, arrival)),
            if_constant=("the flow's executions run one at a time", "warning"),
        )
        self.problems += problems
        return key

    def _schema(self) -> BodySchema | None:
        raw = self._raw.get("schema")
        if not isinstance(raw, dict):
            return None
        schema, problems = compile_schema(raw, "/schema")
        self.problems += problems
        return schema

    def _references(self, compiled: Template | Condition, place: Place) -> Iterator[Problem]:
        reads, seen = frozenset(compiled.references), set[Problem]()
        for pointer, expression in compiled.parts():
            for reference in expression.references:
                # An expression doesn't know of a default that stands beside it; what it is compiled into does.
                if reference not in reads:
                    reference = Reference(reference.path, optional=True)
                problem = self._names.problem(reference, place, pointer)
                if problem is not None and problem not in seen:
                    seen.add(problem)
                    yield problem

    # --- Expressions -------------------------------------------------------------------------------------------

    def _template(self, value: Any, pointer: str, place: Place) -> Template:
        template, problems = self._expressions.template(value, pointer)
        self.problems += problems
        self.problems += self._references(template, place)
        return template

    def _condition(self, value: Any, pointer: str, place: Place) -> Condition:
        condition, problems = self._expressions.condition(value, pointer)
        self.problems += problems
        self.problems += self._references(condition, place)
        return condition

    def _when(self, raw: Mapping[str, Any], pointer: str, place: Place) -> Condition | None:
        if raw.get("when", True) is True:
            return None
        return self._condition(raw["when"], f"{pointer}/when", place)

    # --- Steps -------------------------------------------------------------------------------------------------

    def _steps(
        self, raw: Any, models: tuple[StepDocument, ...] | None, pointer: str, place: Place
    ) -> tuple[tuple[Node, ...], Place]:
        """The nodes of a list of steps, and the place behind them."""
        nodes: list[Node] = []
        for index, step in enumerate(raw if isinstance(raw, list) else ()):
            if not isinstance(step, dict):
                continue
            node, place = self._step(step, models[index] if models is not None else None, f"{pointer}/{index}", place)
            if node is not None:
                nodes.append(node)
        return tuple(nodes), place

    def _step(
        self, raw: Mapping[str, Any], model: StepDocument | None, pointer: str, place: Place
    ) -> tuple[Node | None, Place]:
        step_id = self._ids.of[pointer]
        when = self._when(raw, pointer, place)
        if "switch" in raw:
            return self._switch(raw, _typed(model, SwitchStep), pointer, place, step_id, when)
        if "foreach" in raw:
            return self._foreach(raw, _typed(model, ForeachStep), pointer, place, step_id, when), place.after(step_id)
        return self._action(raw, _typed(model, ActionStep), pointer, place, step_id, when), place.after(step_id)

    def _action(
        self,
        raw: Mapping[str, Any],
        model: ActionStep | None,
        pointer: str,
        place: Place,
        step_id: str,
        when: Condition | None,
    ) -> ActionNode | None:
        given = raw.get("with", {})
        settings = self._template(given if isinstance(given, dict) else {}, f"{pointer}/with", place)
        use = raw.get("use")
        if not isinstance(use, str):
            return None
        action = self._registry.actions.get(use)
        if action is None:
            self.problems.append(
                unknown_component("action", use, self._registry.actions, self._registry, f"{pointer}/use")
            )
            return None
        if action.unavailable is not None:
            message = f"action {use!r} can't be used here"
            self.problems.append(Problem(message, f"{pointer}/use", "unavailable", action.unavailable))
        if isinstance(given, dict):
            self.problems += settings_problems(action, settings, self._vars, f"{pointer}/with")
        self._credential(raw.get("credential"), use, action.credential_types, action.needs_credential, pointer)
        if model is None:
            return None
        if model.timeout is not None and model.timeout <= timedelta():
            message, remedy = "a timeout of nothing lets no attempt finish", "leave it out, or give it some time"
            self.problems.append(Problem(message, f"{pointer}/timeout", "invalid_value", remedy))
        retry = model.retry
        return ActionNode(
            id=step_id,
            pointer=pointer,
            when=when,
            action=action,
            settings=settings,
            credential=model.credential,
            retry=RetryPolicy() if retry is None else RetryPolicy(retry.attempts, retry.wait, retry.factor, retry.cap),
            timeout=model.timeout,
            on_error=model.on_error,
        )

    def _credential(self, name: Any, use: str, types: tuple[str, ...], needed: bool, pointer: str) -> None:
        if isinstance(name, str) and types:
            self.credentials.append(CredentialUse(name, f"{pointer}/credential", types))
        elif isinstance(name, str):
            message = f"action {use!r} takes no credential"
            self.problems.append(Problem(message, f"{pointer}/credential", "credential_unwanted", "remove it"))
        elif name is None and needed:
            message = f"action {use!r} needs a credential of type {' or '.join(types)}"
            remedy = f'add "credential": "…", and make it with `hookline credentials set … --type {types[0]}`'
            self.problems.append(Problem(message, pointer, "missing_key", remedy))

    def _switch(
        self,
        raw: Mapping[str, Any],
        model: SwitchStep | None,
        pointer: str,
        place: Place,
        step_id: str,
        when: Condition | None,
    ) -> tuple[SwitchNode | None, Place]:
        cases: list[Case] = []
        inside: set[str] = set()
        every = raw.get("match") == "all"
        otherwise = 0
        for index, case in enumerate(raw["switch"] if isinstance(raw["switch"], list) else ()):
            if not isinstance(case, dict):
                continue
            at = f"{pointer}/switch/{index}"
            self._check_case(case, at, otherwise)
            otherwise += "otherwise" in case
            here = place.besides(inside) if every else place
            condition = self._condition(case["when"], f"{at}/when", here) if "when" in case else None
            models = model.switch[index].steps if model is not None else None
            steps, behind = self._steps(case.get("steps"), models, f"{at}/steps", here)
            inside |= (behind.steps | behind.maybe) - (place.steps | place.maybe)
            cases.append(Case(condition, steps))
        node = SwitchNode(step_id, pointer, when, tuple(cases), model.match) if model is not None else None
        return node, place.after(step_id, inside)

    def _check_case(self, case: Mapping[str, Any], pointer: str, otherwise: int) -> None:
        if ("when" in case) == ("otherwise" in case):
            has = "both" if "when" in case else "neither"
            message = f"a case has one of 'when' and 'otherwise'; this one has {has}"
            remedy = 'write "when": an expression, or "otherwise": true'
            self.problems.append(Problem(message, pointer, "invalid_case", remedy))
        if "otherwise" in case and otherwise:
            message = "there is an 'otherwise' already"
            self.problems.append(Problem(message, f"{pointer}/otherwise", "invalid_case", "join the two cases"))

    def _foreach(
        self,
        raw: Mapping[str, Any],
        model: ForeachStep | None,
        pointer: str,
        place: Place,
        step_id: str,
        when: Condition | None,
    ) -> ForeachNode | None:
        items = self._template(raw["foreach"], f"{pointer}/foreach", place)
        if items.gives not in (None, list, type(None)):
            message = "this gives no list to go through"
            remedy = "write an expression that gives a list, such as $.body.lines"
            self.problems.append(Problem(message, f"{pointer}/foreach", "wrong_type", remedy))
        name = str(raw.get("as", "item"))
        if name in RESERVED:
            message = f"an item can't be called {name!r}, which is a name of its own"
            self.problems.append(Problem(message, f"{pointer}/as", "reserved_name", "choose another"))
        steps, _ = self._steps(
            raw.get("steps"), model.steps if model is not None else None, f"{pointer}/steps", place.within(name)
        )
        if model is None:
            return None
        return ForeachNode(step_id, pointer, when, items, steps, model.concurrency, model.as_, model.on_error)


def _typed(model: StepDocument | None, expected: type[_T]) -> _T | None:
    return model if isinstance(model, expected) else None
