"""The `switch` block: a content-based router."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.elements.expressions import Condition
from hookline.flows.elements.scope_check import VisibleNames
from hookline.kernel.pointers_and_patches import adding, removing
from hookline.model.flow import SwitchStep


@dataclass(frozen=True, slots=True)
class CompiledCase:
    """One case of a switch."""

    when: Condition | None
    """None for `otherwise`."""
    steps: tuple[CompiledStep, ...]


@dataclass(frozen=True, slots=True)
class CompiledSwitch(CompiledStep):
    """A step that runs the first case that applies, or all of them."""

    cases: tuple[CompiledCase, ...]
    match: Literal["first", "all"]

    @property
    def lists(self) -> tuple[tuple[CompiledStep, ...], ...]:
        """The lists of steps inside."""
        return tuple(case.steps for case in self.cases)


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledSwitch | None, VisibleNames]:
    document, place = step.typed(SwitchStep), step.place
    cases: list[CompiledCase] = []
    inside: set[str] = set()
    every = step.raw.get("match") == "all"
    otherwise = False
    for number, case in _cases(step.raw):
        at = f"{step.pointer}/switch/{number}"
        _check(case, at, otherwise, compiling)
        otherwise = otherwise or "otherwise" in case
        here = place.besides(inside) if every else place
        condition = compiling.condition(case["when"], f"{at}/when", here) if "when" in case else None
        documents = document.switch[number].steps if document is not None else None
        steps, behind = compiling.steps(case.get("steps"), documents, f"{at}/steps", here)
        inside |= (behind.steps | behind.maybe) - (place.steps | place.maybe)
        cases.append(CompiledCase(condition, steps))
    compiled = None
    if document is not None:
        compiled = CompiledSwitch(step.id, step.pointer, step.when, tuple(cases), document.match)
    return compiled, place.after(step.id, inside)


def _cases(raw: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, case in enumerate(raw["switch"] if isinstance(raw["switch"], list) else ()):
        if isinstance(case, dict):
            yield number, case


def _check(case: Mapping[str, Any], pointer: str, otherwise: bool, compiling: CompileContext) -> None:
    if ("when" in case) == ("otherwise" in case):
        has = "both" if "when" in case else "neither"
        message = f"a case must have either 'when' or 'otherwise'; this one has {has}"
        remedy = 'write "when": an expression, or "otherwise": true'
        fix = removing(f"{pointer}/otherwise") if "when" in case else adding(f"{pointer}/otherwise", True)
        compiling.problem(message, pointer, "invalid_case", remedy, fix=fix)
    if "otherwise" in case and otherwise:
        message = "another case already has 'otherwise'"
        compiling.problem(message, f"{pointer}/otherwise", "invalid_case", "join the two cases")


def _lists(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for number, case in _cases(raw):
        yield f"/switch/{number}/steps", case.get("steps")


SWITCH: Final = StepType(_compile, _lists)
