"""Rule: expressions give values of a type that is valid where they are used."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.check.type_analysis import FlowAnalysis
from hookline.flows.elements.expressions import Condition, Template
from hookline.flows.elements.settings_check import remedy_if_none_fits
from hookline.flows.types.shape import (
    BOOLEAN,
    NULL,
    Likely,
    ListOf,
    Record,
    Scalar,
    Shape,
    StreamOf,
    Unknown,
    alternatives,
    in_words,
)
from hookline.flows.types.type_scope import TypeScope, shape_of
from hookline.kernel.errors import Problem

_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "text": ("",),
    "number": (0, 0.5),
    "boolean": (True,),
    "null": (None,),
}


def type_mismatch_problems(walked: FlowAnalysis, vars: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield an error for each expression whose values are never valid."""
    for compiled, scope in walked.expressions:
        if isinstance(compiled, Condition):
            yield from _condition(compiled.template, scope)
    for visit in walked.visits:
        step, scope = visit.compiled, visit.scope
        if isinstance(step, CompiledForeach):
            yield from _list(step.items, scope)
        if isinstance(step, CompiledAction):
            yield from _settings(step, scope, vars)


def _condition(template: Template, scope: TypeScope) -> Iterator[Problem]:
    if (shape := _known_shape(template, scope)) is not None and BOOLEAN not in alternatives(shape):
        yield Problem(
            f"this gives {in_words(shape)}, but a condition must give true or false",
            template.pointer,
            "expression.condition",
            "write true or false, or an expression that compares, such as {{ body.total > 100 }}",
        )


def _list(template: Template, scope: TypeScope) -> Iterator[Problem]:
    shape = _known_shape(template, scope)
    if shape is not None and not any(one == NULL or isinstance(one, ListOf | StreamOf) for one in alternatives(shape)):
        yield Problem(
            f"this gives {in_words(shape)}, but foreach needs a list",
            template.pointer,
            "wrong_type",
            "write an expression that gives a list, such as $.body.lines",
        )


def _settings(step: CompiledAction, scope: TypeScope, vars: Mapping[str, Any]) -> Iterator[Problem]:
    for place in _expressions(step.settings):
        shape = _known_shape(place, scope)
        values = _values(shape) if shape is not None else ()
        if shape is not None and values:
            found = remedy_if_none_fits(step.action, step.settings, vars, f"{step.pointer}/with", place.pointer, values)
            if found is not None:
                yield Problem(
                    f"this gives {in_words(shape)}, which is not valid here", place.pointer, "wrong_type", found
                )


def _expressions(template: Template) -> Iterator[Template]:
    """Yield the expressions in settings, also those in nested objects."""
    for field in (template.fields or {}).values():
        if field.fields is not None:
            yield from _expressions(field)
        elif not field.constant:
            yield field


def _known_shape(template: Template, scope: TypeScope) -> Shape | None:
    """The shape of a template's values, if only the analysis knows it; None otherwise."""
    if template.constant or template.gives is not None:
        return None
    shape = shape_of(template, scope)
    return None if any(isinstance(one, Unknown | Likely) for one in alternatives(shape)) else shape


def _values(shape: Shape) -> tuple[Any, ...]:
    """Sample values of each alternative of a shape; none if an alternative isn't supported."""
    found: list[Any] = []
    for one in alternatives(shape):
        match one:
            case Scalar(kind):
                found += _VALUES[kind]
            case ListOf():
                found.append([])
            case Record():
                found.append({})
            case _:
                return ()
    return tuple(found)
