"""The types of the names in scope at each step of a flow, as text: `hookline check --explain`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hookline.flows.check.type_analysis import analyse_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.types.earlier_results import EarlierResults
from hookline.flows.types.sample_shapes import NO_SAMPLES, Samples
from hookline.flows.types.shape import Field, Record, Shape, shape_text
from hookline.flows.types.type_scope import TypeScope

_Fields: TypeAlias = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class StepScope:
    """A step and the values that its expressions may read."""

    step: str
    pointer: str
    scope: Mapping[str, str]
    """The type at each path, such as `body`, `steps.order.body` or `item`."""
    body: str | None
    """The type of the body after the step; None if no step runs after it."""
    gone: tuple[str, ...] = ()
    """If the scope only has what differs from that of the step before: the paths that it doesn't have any more."""


def step_scopes(
    flow: CompiledFlow, samples: Samples = NO_SAMPLES, *, only_changes: bool = False
) -> Iterator[StepScope]:
    """Yield the steps that are reached, in the order of the text.

    A step sees the results of all steps before it, so the length of all scopes grows with the square of their
    number. With `only_changes`, a scope only has what differs from that of the step before.
    """
    texts, before = _ShapeTexts(), dict[str, _Fields]()
    for visit in analyse_flow(flow, samples).visits:
        here = _fields(visit.scope)
        gone: list[str] = []
        scope = dict(_changes(here, before, texts, gone))
        if only_changes:
            before = here
        body = None if visit.behind is None else texts.of(visit.behind.message.body)
        yield StepScope(visit.compiled.id, visit.compiled.pointer, scope, body, tuple(gone))


class _ShapeTexts:
    """The texts of shapes, which are the same at many steps."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Shape, str]] = {}
        """By the identity of a shape, which is kept so that no other gets it."""

    def of(self, shape: Shape) -> str:
        found = self._texts.get(id(shape))
        if found is None:
            found = self._texts[id(shape)] = (shape, shape_text(shape))
        return found[1]


def _fields(scope: TypeScope) -> dict[str, _Fields]:
    """The types of the names in scope; each key of `trigger`, `steps` and `vars` has one of its own."""
    names: dict[str, Field] = {}
    found: dict[str, _Fields] = {"": names}
    for name, shape in scope.roots().items():
        if name in ("trigger", "steps", "vars") and isinstance(shape, Record):
            found[name] = shape.fields.merged() if isinstance(shape.fields, EarlierResults) else shape.fields
        else:
            names[name] = Field(shape)
    return found


def _changes(
    here: Mapping[str, _Fields], before: Mapping[str, _Fields], texts: _ShapeTexts, gone: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield the paths that weren't in scope before, or had another type, with their types. Adds those to `gone`
    that are gone."""
    for within, fields in here.items():
        old = before.get(within, {})
        for key, field in fields.items():
            was = old.get(key)
            if was is field:
                continue
            path, text = _path(within, key, field), texts.of(field.shape)
            if was is not None:
                if _path(within, key, was) != path:
                    gone.append(_path(within, key, was))
                elif texts.of(was.shape) == text:
                    continue
            yield path, text
    for within, fields in before.items():
        new = here.get(within, {})
        gone += [_path(within, key, field) for key, field in fields.items() if key not in new]


def _path(within: str, key: str, field: Field) -> str:
    """A path such as `steps.order`; one that may be missing ends with `?`."""
    return f"{within}.{key}{'' if field.required else '?'}" if within else key
