"""The compiled step, the interface of a kind of step, and the context in which steps are compiled."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from hookline.discovery.registry import Registry
from hookline.flows.elements.expressions import Condition, Expressions, Template
from hookline.flows.elements.outside_references import CredentialUse, FlowUse
from hookline.flows.elements.scope_check import DeclaredNames, VisibleNames
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import Patch
from hookline.model.flow import StepDocument
from hookline.sdk.mappers import Reference

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A compiled step. Each kind of step adds its own fields."""

    id: str
    pointer: str
    """JSON pointer of the step in the document."""
    when: Condition | None
    """None if it always runs."""

    @property
    def skipped_use(self) -> str:
        """The `use` of its journal entry if it is skipped."""
        return "block"

    @property
    def lists(self) -> "tuple[tuple[CompiledStep, ...], ...]":
        """The lists of steps inside a block, in the order of the text; none in other steps."""
        return ()


@dataclass(frozen=True, slots=True)
class RawStep:
    """A step before it is compiled. Its JSON is an object; nothing else is certain."""

    raw: Mapping[str, Any]
    document: StepDocument | None
    """The same, typed; None if the form of the flow's document is wrong."""
    id: str
    pointer: str
    place: VisibleNames
    when: Condition | None

    def typed(self, model: type[_T]) -> _T | None:
        """The document if it has this type, otherwise None."""
        return self.document if isinstance(self.document, model) else None


@dataclass(frozen=True, slots=True)
class StepType:
    """A kind of step: an action or a block."""

    compile: Callable[["RawStep", "CompileContext"], tuple[CompiledStep | None, VisibleNames]]
    """Compile a step: the compiled step, None if there are errors, and the names that are visible after the step."""
    lists: Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]] = lambda _: ()
    """Yield the lists of steps inside a step's JSON, each with its pointer relative to the step, in text order.

    The JSON needn't be valid.
    """
    item: Callable[[Mapping[str, Any]], str] | None = None
    """The name of the item in the steps inside, if they run once for each item."""
    settings: type[BaseModel] | None = None
    """The model of the settings, for blocks whose steps have `use`."""
    summary: str = ""
    rejects: tuple[str, ...] = ()
    """The keys of action steps that steps of such a block don't accept."""


@dataclass(slots=True)
class CompileContext:
    """The context in which the steps of one flow are compiled, and the results so far."""

    registry: Registry
    expressions: Expressions
    vars: Mapping[str, Any]
    names: DeclaredNames
    ids: Mapping[str, str]
    """From each step's pointer to its id."""
    step_type_of: Callable[[Mapping[str, Any]], StepType]
    """Return the kind of a step, from its JSON."""
    problems: list[Problem] = field(default_factory=list)
    credentials: list[CredentialUse] = field(default_factory=list)
    flows: list[FlowUse] = field(default_factory=list)
    """The places that name another flow."""
    compiled_steps: dict[str, CompiledStep] = field(default_factory=dict)
    """The compiled steps by id."""
    reads_path: bool = False
    """An expression reads `trigger.path`."""
    missing_actions: list[tuple[str, Problem]] = field(default_factory=list)
    """The actions that aren't installed or lack an extra, each with the problem of its place."""

    def problem(
        self,
        message: str,
        pointer: str,
        code: str,
        remedy: str,
        severity: Literal["error", "warning", "note"] = "error",
        *,
        fix: tuple[Patch, ...] = (),
    ) -> None:
        """Add a problem."""
        self.problems.append(Problem(message, pointer, code, remedy, severity, fix=fix))

    def missing_action(self, name: str, problem: Problem) -> None:
        """Add the problem of an action that isn't installed."""
        self.problems.append(problem)
        self.missing_actions.append((name, problem))

    def template(self, value: Any, pointer: str, place: VisibleNames) -> Template:
        """Compile a JSON value in which strings may be expressions."""
        template, problems = self.expressions.template(value, pointer)
        self.problems += problems
        self.problems += self.references(template, place)
        return template

    def condition(self, value: Any, pointer: str, place: VisibleNames) -> Condition:
        """Compile an expression that must give true or false."""
        condition, problems = self.expressions.condition(value, pointer)
        self.problems += problems
        self.problems += self.references(condition, place)
        return condition

    def references(self, compiled: Template | Condition, place: VisibleNames) -> Iterator[Problem]:
        """Yield the problems of the names that an expression reads."""
        reads, seen = frozenset(compiled.references), set[Problem]()
        for pointer, expression in compiled.parts():
            for reference in expression.references:
                # An expression doesn't know the default beside it, but the compiled template does.
                self.reads_path = self.reads_path or reference.path[:2] == ("trigger", "path")
                if reference not in reads:
                    reference = Reference(reference.path, optional=True)
                problem = self.names.problem(reference, place, pointer)
                if problem is not None and problem not in seen:
                    seen.add(problem)
                    yield problem

    def steps(
        self, raw: Any, documents: tuple[StepDocument, ...] | None, pointer: str, place: VisibleNames
    ) -> tuple[tuple[CompiledStep, ...], VisibleNames]:
        """Compile a list of steps: the compiled steps, and the names that are visible after them.

        `raw` may be any JSON. `documents` is the same, typed, if the form of the flow's document is right.
        """
        steps: list[CompiledStep] = []
        for index, step in enumerate(raw if isinstance(raw, list) else ()):
            if not isinstance(step, dict):
                continue
            at = f"{pointer}/{index}"
            when = None if step.get("when", True) is True else self.condition(step["when"], f"{at}/when", place)
            document = documents[index] if documents is not None else None
            compiled, place = self.step_type_of(step).compile(
                RawStep(step, document, self.ids[at], at, place, when), self
            )
            if compiled is not None:
                steps.append(compiled)
                self.compiled_steps[compiled.id] = compiled
        return tuple(steps), place
