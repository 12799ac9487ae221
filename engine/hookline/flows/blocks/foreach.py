"""The `foreach` block: a splitter and aggregator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.scope_check import RESERVED, VisibleNames
from hookline.model.flow import ForeachStep

USE: Final = "foreach"
"""The block's name in the journal."""


@dataclass(frozen=True, slots=True)
class CompiledForeach(CompiledStep):
    """A step that runs other steps for each item of a list."""

    items: Template
    steps: tuple[CompiledStep, ...]
    concurrency: int
    as_name: str
    on_error: Literal["fail", "continue"]
    collect: Literal["results", "count"] | None

    @property
    def lists(self) -> tuple[tuple[CompiledStep, ...], ...]:
        """The lists of steps inside."""
        return (self.steps,)


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledForeach | None, VisibleNames]:
    document, pointer, behind = step.typed(ForeachStep), step.pointer, step.place.after(step.id)
    items = compiling.template(step.raw["foreach"], f"{pointer}/foreach", step.place)
    if items.gives not in (None, list, type(None)):
        remedy = "write an expression that gives a list, such as $.body.lines"
        compiling.problem("this doesn't give a list", f"{pointer}/foreach", "wrong_type", remedy)
    name = _item(step.raw)
    if name in RESERVED:
        message = f"an item can't have the name {name!r}, which has another meaning in expressions"
        compiling.problem(message, f"{pointer}/as", "reserved_name", "choose another name")
    documents = document.steps if document is not None else None
    inner = step.place.within(name, "index")
    steps, _ = compiling.steps(step.raw.get("steps"), documents, f"{pointer}/steps", inner)
    if document is None:
        return None, behind
    compiled = CompiledForeach(
        step.id,
        pointer,
        step.when,
        items,
        steps,
        document.concurrency,
        document.as_,
        document.on_error,
        document.collect,
    )
    return compiled, behind


def _item(raw: Mapping[str, Any]) -> str:
    return str(raw.get("as", "item"))


FOREACH: Final = StepType(_compile, lambda raw: [("/steps", raw.get("steps"))], _item)
