"""Rule: every step can run."""

from collections.abc import Iterator

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.check.type_analysis import FlowAnalysis
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import Patch, removing


def unreachable_problems(walked: FlowAnalysis) -> Iterator[Problem]:
    """Yield a warning for each step or case that never runs; of steps in a row, only for the first."""
    for step, before in walked.unreachable:
        ends = f"{before.action.name!r} " if isinstance(before, CompiledAction) else ""
        yield _warning(
            f"step {step.id!r} never runs, because the execution always ends at {ends}step {before.id!r}",
            step.pointer,
            "move it up, or remove it",
            removing(step.pointer),
        )
    for visit in walked.visits:
        if visit.compiled.when is not None and _always(visit.compiled, False):
            yield _warning(
                f"step {visit.compiled.id!r} never runs, because its `when` is false",
                f"{visit.compiled.pointer}/when",
                "correct the condition, or remove the step",
                removing(visit.compiled.pointer),
            )
        if isinstance(visit.compiled, CompiledSwitch):
            yield from _cases(visit.compiled)


def _always(step: CompiledStep, value: bool) -> bool:
    return step.when is not None and step.when.constant and step.when.template.value is value


def _cases(step: CompiledSwitch) -> Iterator[Problem]:
    sure: int | None = None
    for number, case in enumerate(step.cases):
        pointer = f"{step.pointer}/switch/{number}"
        if sure is not None and step.match == "first":
            yield _warning(
                f"this case never runs, because case {sure} always applies",
                pointer,
                "move it up, or correct the condition of that case",
                removing(pointer),
            )
        elif case.when is not None and case.when.constant:
            if case.when.template.value is True:
                sure = number
            else:
                message = "this case never runs, because its `when` is false"
                yield _warning(
                    message, f"{pointer}/when", "correct the condition, or remove the case", removing(pointer)
                )


def _warning(message: str, pointer: str, remedy: str, fix: tuple[Patch, ...]) -> Problem:
    return Problem(message, pointer, "unreachable", remedy, "warning", fix=fix)
