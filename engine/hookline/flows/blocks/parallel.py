"""The `parallel` block, whose branches run side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.elements.scope_check import VisibleNames
from hookline.kernel.pointers_and_patches import escape
from hookline.model.flow import ParallelStep


@dataclass(frozen=True, slots=True)
class CompiledParallel(CompiledStep):
    """A step that runs branches side by side."""

    branches: Mapping[str, tuple[CompiledStep, ...]]
    on_error: Literal["fail", "continue"]

    @property
    def lists(self) -> tuple[tuple[CompiledStep, ...], ...]:
        """The lists of steps inside."""
        return tuple(self.branches.values())


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledParallel | None, VisibleNames]:
    document = step.typed(ParallelStep)
    branches: dict[str, tuple[CompiledStep, ...]] = {}
    for name, steps in _branches(step.raw):
        documents = document.parallel.get(name) if document is not None else None
        branches[name], _ = compiling.steps(steps, documents, f"{step.pointer}/parallel/{escape(name)}", step.place)
    compiled = None
    if document is not None:
        compiled = CompiledParallel(step.id, step.pointer, step.when, branches, document.on_error)
    return compiled, step.place.after(step.id)


def _branches(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given = raw["parallel"]
    yield from given.items() if isinstance(given, dict) else ()


def _lists(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, steps in _branches(raw):
        yield f"/parallel/{escape(name)}", steps


PARALLEL: Final = StepType(_compile, _lists)
