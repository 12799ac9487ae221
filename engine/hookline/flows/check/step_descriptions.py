"""The types of the names in scope at each step of a flow, as text: `hookline check --explain`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hookline.flows.check.flow_analysis import analyse_flow
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.types.samples import NO_SAMPLES, Samples
from hookline.flows.types.shape import Record, shape_text
from hookline.flows.types.type_scope import TypeScope


@dataclass(frozen=True, slots=True)
class StepDescription:
    """A step and the values that its expressions may read."""

    step: str
    pointer: str
    scope: Mapping[str, str]
    """The type at each path, such as `body`, `steps.order.body` or `item`."""
    body: str | None
    """The type of the body after the step; None if no step runs after it."""


def describe_steps(flow: CompiledFlow, samples: Samples = NO_SAMPLES) -> Iterator[StepDescription]:
    """Yield the steps that are reached, in the order of the text.

    A step sees the results of all steps before it, so the length of all descriptions grows with the square of their
    number.
    """
    for visit in analyse_flow(flow, samples).visits:
        yield StepDescription(
            visit.node.id,
            visit.node.pointer,
            dict(_paths(visit.scope)),
            None if visit.behind is None else shape_text(visit.behind.message.body),
        )


def _paths(scope: TypeScope) -> Iterator[tuple[str, str]]:
    """Yield the names in scope and their types; each key of `trigger`, `steps` and `vars` is a path of its own."""
    for name, shape in scope.roots().items():
        if name in ("trigger", "steps", "vars") and isinstance(shape, Record):
            for key, field in shape.fields.items():
                yield f"{name}.{key}{'' if field.required else '?'}", shape_text(field.shape)
        else:
            yield name, shape_text(shape)
