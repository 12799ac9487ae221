"""The shape of an action's result, from the return annotation of its function."""

import types
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from functools import lru_cache
from typing import Any, Final, NotRequired, Required

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticOmit, core_schema
from typing_extensions import TypedDict

from hookline.flows.types.json_schema import from_schema
from hookline.flows.types.shape import UNKNOWN, Shape, StreamOf, join

_STREAMS: Final = (AsyncIterator, AsyncGenerator)
_UNIONS: Final = (typing.Union, types.UnionType)


def from_annotation(annotation: Any) -> Shape:
    """The shape of the JSON value that a result of this type becomes."""
    try:
        return _cached(annotation)
    except TypeError:
        # The annotation is not hashable.
        return UNKNOWN


@lru_cache(maxsize=1024)
def _cached(annotation: Any) -> Shape:
    origin = typing.get_origin(annotation)
    if origin in _UNIONS:
        return join(_cached(each) for each in typing.get_args(annotation))
    if origin in _STREAMS:
        return StreamOf(_cached(typing.get_args(annotation)[0]))
    try:
        schema = TypeAdapter(_readable(annotation)).json_schema(mode="serialization", schema_generator=_AsResult)
    except (PydanticUserError, PydanticOmit, TypeError, NameError):
        return UNKNOWN
    return from_schema(schema)


def _readable(annotation: Any) -> Any:
    """The annotation with each TypedDict replaced by one that pydantic reads in all versions of Python."""
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        fields = {
            name: Required[hint] if name in annotation.__required_keys__ else NotRequired[hint]
            for name, hint in ((name, _readable(hint)) for name, hint in hints.items())
        }
        return TypedDict(annotation.__name__, fields)  # type: ignore[operator]  # made from the fields of another one
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return typing.Union[tuple(_readable(each) for each in given)]  # noqa: UP007 - the number of members varies
    if origin in (list, dict, tuple):
        return origin[tuple(_readable(each) for each in given)]
    return annotation


class _AsResult(GenerateJsonSchema):
    """JSON Schema of results: all keys of a model are present, and a Decimal is a number.

    A declared type is trusted: an `Order` has exactly the keys of `Order`.
    """

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Fields with defaults are written out, too. Only keys of a TypedDict may be missing."""
        if field["type"] == "typed-dict-field":
            return bool(field.get("required", total))
        return True

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Decimals in results become numbers."""
        return {"type": "number"}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _close(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _close(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _close(super().typed_dict_schema(schema))

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Ignore warnings."""


def _close(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def metadata(annotation: Any) -> Iterable[Any]:
    """The metadata of an annotation, beside its type."""
    return annotation.__metadata__ if typing.get_origin(annotation) is typing.Annotated else ()
