"""The shape of an action's result, by what its function's return annotation says."""

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
    """What is known of the JSON value that a result of this type becomes."""
    try:
        return _cached(annotation)
    except TypeError:
        # It can't be hashed.
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
    """The same with each TypedDict as pydantic reads them in all versions of Python."""
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        fields = {
            name: Required[hint] if name in annotation.__required_keys__ else NotRequired[hint]
            for name, hint in ((name, _readable(hint)) for name, hint in hints.items())
        }
        return TypedDict(annotation.__name__, fields)  # type: ignore[operator]  # made of what another one says
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return typing.Union[tuple(_readable(each) for each in given)]  # noqa: UP007 - as many as there are
    if origin in (list, dict, tuple):
        return origin[tuple(_readable(each) for each in given)]
    return annotation


class _AsResult(GenerateJsonSchema):
    """JSON Schema of what results become: all keys of a model are there, and a Decimal is a number.

    A declared type is taken at its word: an `Order` has the keys of `Order`.
    """

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Values that have a default are written out, too; only keys of a TypedDict may be missing."""
        if field["type"] == "typed-dict-field":
            return bool(field.get("required", total))
        return True

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A result's Decimals are numbers."""
        return {"type": "number"}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model."""
        return _shut(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """A dataclass."""
        return _shut(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """A TypedDict."""
        return _shut(super().typed_dict_schema(schema))

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Nobody reads them here."""


def _shut(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def metadata(annotation: Any) -> Iterable[Any]:
    """What an annotation says beside its type."""
    return annotation.__metadata__ if typing.get_origin(annotation) is typing.Annotated else ()
