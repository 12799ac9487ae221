"""Rule: steps are only retried if running them twice has the same effect as running them once."""

from collections.abc import Iterator
from typing import Any

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.check.type_analysis import FlowAnalysis
from hookline.flows.elements.expressions import Template
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import adding


def unsafe_retry_problems(walked: FlowAnalysis) -> Iterator[Problem]:
    """Yield a warning for each step that is retried but not safe to repeat."""
    for visit in walked.visits:
        step = visit.compiled
        if not isinstance(step, CompiledAction) or step.once or step.retry.attempts < 2:
            continue
        if _unsafe(step):
            yield Problem(
                f"step {step.id!r} is tried up to {step.retry.attempts} times, but {step.action.name!r} with these "
                "settings may take effect each time",
                step.pointer,
                "unsafe_retry",
                'write "delivery": "at_most_once" or "retry": {"attempts": 1}, or make the step safe to repeat',
                "warning",
                # This works beside a `retry` of the step's own, too; `delivery` doesn't.
                fix=adding(f"{step.pointer}/retry/attempts", 1),
            )


def _unsafe(step: CompiledAction) -> bool:
    try:
        return step.action.repeats(_constants(step.settings)) is False
    except Exception:  # noqa: BLE001 - a plugin's defect says nothing about the flow
        return False


def _constants(settings: Template) -> dict[str, Any]:
    """The settings that are the same for every message, also those in nested objects."""
    return {name: _constant(field) for name, field in (settings.fields or {}).items() if _known(field)}


def _known(field: Template) -> bool:
    return field.constant or field.fields is not None


def _constant(field: Template) -> Any:
    return field.value if field.constant else _constants(field)
