"""What a block of the flow language is while a flow is compiled, and what it compiles its parts with."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from hookline.discovery.registry import Registry
from hookline.flows.elements.expressions import Condition, Expressions, Template
from hookline.flows.elements.external_names import CredentialUse, FlowUse
from hookline.flows.elements.visible_names import DeclaredNames, VisibleNames
from hookline.kernel.errors import Problem
from hookline.model.flow import StepDocument
from hookline.sdk.mappers import Reference

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled step. Each kind of step adds what it runs with."""

    id: str
    pointer: str
    """JSON pointer of the step in the document."""
    when: Condition | None
    """None if it always runs."""

    @property
    def lists(self) -> "tuple[tuple[Node, ...], ...]":
        """The lists of steps inside a block, in the order of the text; none in other steps."""
        return ()


@dataclass(frozen=True, slots=True)
class RawStep:
    """A step before it is compiled. Nothing of its JSON is taken for granted but that it is an object."""

    raw: Mapping[str, Any]
    document: StepDocument | None
    """The same, typed; None where the form of the flow's document isn't right."""
    id: str
    pointer: str
    place: VisibleNames
    when: Condition | None

    def typed(self, model: type[_T]) -> _T | None:
        """The document, where it is one of this kind."""
        return self.document if isinstance(self.document, model) else None


@dataclass(frozen=True, slots=True)
class StepType:
    """A kind of step, as compiling a flow sees it."""

    compile: Callable[["RawStep", "CompileContext"], tuple[Node | None, VisibleNames]]
    """The node, None where an error keeps it from being made, and the place behind the step. Checks its structure."""
    lists: Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]] = lambda _: ()
    """The lists of steps inside a step, each with its pointer from there, in the order of the text.

    It is given the step's JSON, and checks no more of that than it needs.
    """
    item: Callable[[Mapping[str, Any]], str] | None = None
    """What the steps inside call the item that they run for, if they do."""
    settings: type[BaseModel] | None = None
    """Of a block whose steps say `use`: what stands in their `with`."""
    summary: str = ""
    rejects: tuple[str, ...] = ()
    """Of such a block: what its steps don't take of the keys of actions."""


@dataclass(slots=True)
class CompileContext:
    """A flow on its way: what its blocks compile their parts with, and what was found so far."""

    registry: Registry
    expressions: Expressions
    vars: Mapping[str, Any]
    names: DeclaredNames
    ids: Mapping[str, str]
    """From each step's pointer to its id."""
    choose: Callable[[Mapping[str, Any]], StepType]
    """The block that a step's JSON is."""
    problems: list[Problem] = field(default_factory=list)
    credentials: list[CredentialUse] = field(default_factory=list)
    flows: list[FlowUse] = field(default_factory=list)
    """Every place that names another flow."""
    nodes: dict[str, Node] = field(default_factory=dict)
    """Every step that was compiled, by id."""
    reads_path: bool = False
    """An expression reads what follows the flow's id in the URL."""

    def problem(
        self,
        message: str,
        pointer: str,
        code: str,
        remedy: str,
        severity: Literal["error", "warning", "note"] = "error",
    ) -> None:
        """Note that something is wrong."""
        self.problems.append(Problem(message, pointer, code, remedy, severity))

    def template(self, value: Any, pointer: str, place: VisibleNames) -> Template:
        """A JSON value in which strings may be expressions."""
        template, problems = self.expressions.template(value, pointer)
        self.problems += problems
        self.problems += self.references(template, place)
        return template

    def condition(self, value: Any, pointer: str, place: VisibleNames) -> Condition:
        """An expression that gives true or false."""
        condition, problems = self.expressions.condition(value, pointer)
        self.problems += problems
        self.problems += self.references(condition, place)
        return condition

    def references(self, compiled: Template | Condition, place: VisibleNames) -> Iterator[Problem]:
        """What is wrong with the names that an expression reads."""
        reads, seen = frozenset(compiled.references), set[Problem]()
        for pointer, expression in compiled.parts():
            for reference in expression.references:
                # An expression doesn't know of a default that stands beside it; what it is compiled into does.
                self.reads_path = self.reads_path or reference.path[:2] == ("trigger", "path")
                if reference not in reads:
                    reference = Reference(reference.path, optional=True)
                problem = self.names.problem(reference, place, pointer)
                if problem is not None and problem not in seen:
                    seen.add(problem)
                    yield problem

    def steps(
        self, raw: Any, documents: tuple[StepDocument, ...] | None, pointer: str, place: VisibleNames
    ) -> tuple[tuple[Node, ...], VisibleNames]:
        """The nodes of a list of steps, and the place behind them.

        `raw` is its JSON, whatever that is; `documents` the same, typed, where the flow's document has the right form.
        """
        nodes: list[Node] = []
        for index, step in enumerate(raw if isinstance(raw, list) else ()):
            if not isinstance(step, dict):
                continue
            at = f"{pointer}/{index}"
            when = None if step.get("when", True) is True else self.condition(step["when"], f"{at}/when", place)
            document = documents[index] if documents is not None else None
            node, place = self.choose(step).compile(RawStep(step, document, self.ids[at], at, place, when), self)
            if node is not None:
                nodes.append(node)
                self.nodes[node.id] = node
        return tuple(nodes), place
