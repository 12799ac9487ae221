"""Shapes from JSON Schemas."""

from collections.abc import Mapping
from typing import Any, Final

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
    Unknown,
    join,
    of_value,
)
from hookline.kernel.pointers_and_patches import parts_of

_DEPTH: Final = 24
"""The depth to which a schema is read. There is a limit because a schema may refer to itself."""
_SCALARS: Final[Mapping[str, Shape]] = {
    "string": TEXT,
    "number": NUMBER,
    "integer": NUMBER,
    "boolean": BOOLEAN,
    "null": NULL,
}


def from_schema(schema: Any) -> Shape:
    """The shape of the values that satisfy a schema. Unsupported keywords are ignored."""
    return _Reader(schema).shape(schema, _DEPTH)


class _Reader:
    def __init__(self, root: Any) -> None:
        self._root = root

    def shape(self, schema: Any, depth: int) -> Shape:
        if not isinstance(schema, Mapping) or not depth:
            return UNKNOWN
        own = self._own(schema, depth)
        if not isinstance(own, Unknown):
            return own
        # Each keyword only narrows the shape, so one that is understood is enough.
        if isinstance(reference := schema.get("$ref"), str):
            return self.shape(self._resolved(reference), depth - 1)
        for key in ("anyOf", "oneOf"):
            if isinstance(given := schema.get(key), list) and given:
                return join(self.shape(each, depth - 1) for each in given)
        if isinstance(given := schema.get("allOf"), list):
            return next(
                (shape for each in given if not isinstance(shape := self.shape(each, depth - 1), Unknown)), UNKNOWN
            )
        return UNKNOWN

    def _own(self, schema: Mapping[str, Any], depth: int) -> Shape:
        if "const" in schema:
            return of_value(schema["const"])
        if isinstance(values := schema.get("enum"), list) and values:
            return join(of_value(value) for value in values)
        types = schema.get("type")
        names = types if isinstance(types, list) else [types]
        return join(self._of_type(name, schema, depth) for name in names)

    def _of_type(self, name: Any, schema: Mapping[str, Any], depth: int) -> Shape:
        if name == "object":
            return self._record(schema, depth)
        if name == "array":
            return ListOf(UNKNOWN if "prefixItems" in schema else self.shape(schema.get("items"), depth - 1))
        return _SCALARS.get(name, UNKNOWN) if isinstance(name, str) else UNKNOWN

    def _record(self, schema: Mapping[str, Any], depth: int) -> Record:
        properties, required = schema.get("properties"), schema.get("required")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        given = properties if isinstance(properties, Mapping) else {}
        fields = {name: Field(self.shape(inner, depth - 1), name in needed) for name, inner in given.items()}
        fields |= {name: Field(UNKNOWN) for name in sorted(needed - fields.keys())}
        # `allOf` or a reference beside it can only add keys to an open object.
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        title = schema.get("title")
        return Record(fields, closed=closed, name=title if isinstance(title, str) else "", declared=True)

    def _resolved(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        value = self._root
        for key in parts_of(reference[1:]):
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        # Anchors (`#order`) are not supported.
        return value if reference == "#" or reference.startswith("#/") else None
