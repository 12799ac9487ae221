"""What a setting gives: the shape of a template's values."""

from collections.abc import Mapping
from typing import Final

from hookline.flows.elements.expressions import Template
from hookline.flows.types.path import Found
from hookline.flows.types.scope import Scope
from hookline.flows.types.shape import (
    BOOLEAN,
    NULL,
    NUMBER,
    TEXT,
    UNKNOWN,
    Field,
    ListOf,
    Record,
    Shape,
    join,
    of_value,
)

_GIVEN: Final[Mapping[type | None, Shape]] = {
    bool: BOOLEAN,
    str: TEXT,
    int: NUMBER,
    float: NUMBER,
    list: ListOf(UNKNOWN),
    dict: Record(),
    type(None): NULL,
}


def shape_of(template: Template, scope: Scope) -> Shape:
    """What is known of the values that a template gives at a place."""
    if template.constant:
        return of_value(template.value)
    if template.fields is not None:
        return Record({key: Field(shape_of(field, scope)) for key, field in template.fields.items()}, closed=True)
    if template.items is not None:
        return ListOf(join(shape_of(item, scope) for item in template.items))
    if template.either is not None:
        return join(shape_of(each, scope) for each in template.either)
    expressions = [expression for _, expression in template.parts()]
    if len(expressions) == 1 and (path := expressions[0].path):
        found = scope.find(path)
        # What is wrong with the path is said where it stands.
        return found.shape if isinstance(found, Found) else UNKNOWN
    return _GIVEN.get(template.gives, UNKNOWN)
