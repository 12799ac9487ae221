"""What is known at each step of a flow, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hookline.flows.check.flow_analysis import analyse_flow
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.types.samples import NO_SAMPLES, Samples
from hookline.flows.types.shape import Record, shape_text
from hookline.flows.types.type_scope import TypeScope


@dataclass(frozen=True, slots=True)
class StepDescription:
    """A step, and what its expressions may read."""

    step: str
    pointer: str
    scope: Mapping[str, str]
    """From each path to what stands there: `body`, `steps.order.body`, `item`."""
    body: str | None
    """The body behind the step; None where no step comes after it."""


def describe_steps(flow: CompiledFlow, samples: Samples = NO_SAMPLES) -> list[StepDescription]:
    """Each step that is reached, in the order of the text."""
    return [
        StepDescription(
            visit.node.id,
            visit.node.pointer,
            dict(_paths(visit.scope)),
            None if visit.behind is None else shape_text(visit.behind.message.body),
        )
        for visit in analyse_flow(flow, samples).visits
    ]


def _paths(scope: TypeScope) -> Iterator[tuple[str, str]]:
    """What is in scope, its larger parts each on their own."""
    for name, shape in scope.roots().items():
        if name in ("trigger", "steps", "vars") and isinstance(shape, Record):
            for key, field in shape.fields.items():
                yield f"{name}.{key}{'' if field.required else '?'}", shape_text(field.shape)
        else:
            yield name, shape_text(shape)
