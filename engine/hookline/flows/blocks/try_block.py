"""The `try` block, which handles failures of its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.elements.scope_check import VisibleNames
from hookline.kernel.pointers_and_patches import adding
from hookline.model.flow import TryStep

_KEYS: Final = ("try", "catch", "finally")


@dataclass(frozen=True, slots=True)
class CompiledTry(CompiledStep):
    """A step that handles failures of the steps inside."""

    steps: tuple[CompiledStep, ...]
    catch_steps: tuple[CompiledStep, ...] | None
    """The steps of `catch`; None if failures aren't handled."""
    finally_steps: tuple[CompiledStep, ...]
    """The steps of `finally`, which always run at the end."""

    @property
    def lists(self) -> tuple[tuple[CompiledStep, ...], ...]:
        """The lists of steps inside."""
        return (self.steps, self.catch_steps or (), self.finally_steps)


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledTry | None, VisibleNames]:
    document, raw, pointer, place = step.typed(TryStep), step.raw, step.pointer, step.place
    if "catch" not in raw and "finally" not in raw:
        message, remedy = "a try without a catch or a finally does nothing", 'add "catch": […], or "finally": […]'
        compiling.problem(message, pointer, "missing_key", remedy, fix=adding(f"{pointer}/catch", []))
    steps, tried = compiling.steps(raw.get("try"), document.try_ if document else None, f"{pointer}/try", place)
    maybe = _new(tried, place)
    caught = place.within("error").besides(maybe)
    catch_steps, after_catch = compiling.steps(
        raw.get("catch"), document.catch if document else None, f"{pointer}/catch", caught
    )
    maybe |= _new(after_catch, caught)
    finally_steps, behind = compiling.steps(
        raw.get("finally"), document.finally_ if document else None, f"{pointer}/finally", place.besides(maybe)
    )
    compiled = None
    if document is not None:
        handled_by = catch_steps if document.catch is not None else None
        compiled = CompiledTry(step.id, pointer, step.when, steps, handled_by, finally_steps)
    return compiled, place.after(step.id, maybe | _new(behind, place))


def _new(behind: VisibleNames, before: VisibleNames) -> set[str]:
    """The ids of the steps that may have run in between."""
    return set((behind.steps | behind.maybe) - (before.steps | before.maybe))


def _lists(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in _KEYS:
        if key in raw:
            yield f"/{key}", raw[key]


TRY: Final = StepType(_compile, _lists)
