"""Shapes: what is known of a JSON value. Whatever isn't known is `UNKNOWN`, of which nothing is ever wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

ScalarType: TypeAlias = Literal["text", "number", "boolean", "null"]
_MOST: Final = 12
"""How many alternatives are told apart."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Any value."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value with nothing inside."""

    kind: ScalarType


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: "Shape"


@dataclass(frozen=True, slots=True)
class StreamOf:
    """Items that are kept aside: a foreach goes through them, and expressions may read their `count`."""

    item: "Shape"


@dataclass(frozen=True, slots=True)
class Field:
    """What is known of a key of an object."""

    shape: "Shape"
    required: bool = True
    """The object always has it."""


@dataclass(frozen=True, slots=True)
class Record:
    """An object."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    closed: bool = False
    """It has no other keys."""
    name: str = ""
    """What its type is called, where that has a name."""
    declared: bool = False
    """Somebody said which of its keys are required: others are to be expected missing."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several shapes."""

    options: "tuple[Shape, ...]"


@dataclass(frozen=True, slots=True)
class Likely:
    """Any value; those that were seen have this shape."""

    shape: "Shape"


Shape: TypeAlias = Unknown | Scalar | ListOf | StreamOf | Record | OneOf | Likely

UNKNOWN: Final = Unknown()
TEXT: Final = Scalar("text")
NUMBER: Final = Scalar("number")
BOOLEAN: Final = Scalar("boolean")
NULL: Final = Scalar("null")


def closed(**fields: Shape) -> Record:
    """An object that has these keys, and no others."""
    return Record({name: Field(shape) for name, shape in fields.items()}, closed=True)


def options(shape: Shape) -> tuple[Shape, ...]:
    """The shapes that a value may have."""
    return shape.options if isinstance(shape, OneOf) else (shape,)


def likely(shape: Shape) -> Shape:
    """What is to be expected of a value of which it isn't known."""
    return shape if isinstance(shape, Unknown | Likely) else Likely(shape)


def expected(shape: Shape) -> Shape:
    """What a value has, or is to be expected to have."""
    return shape.shape if isinstance(shape, Likely) else shape


def join(shapes: Iterable[Shape]) -> Shape:
    """What is known of a value that has one of several shapes; nothing where one of them is unknown."""
    found: list[Shape] = []
    for shape in shapes:
        for option in options(shape):
            if isinstance(option, Unknown):
                return UNKNOWN
            if option not in found:
                found.append(option)
    if not found or len(found) > _MOST:
        return UNKNOWN
    return found[0] if len(found) == 1 else OneOf(tuple(found))


def of_value(value: Any) -> Shape:
    """The shape of a constant."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOLEAN
        case int() | float() | Decimal():
            return NUMBER
        case str():
            return TEXT
        case list():
            # Of an empty list nothing can be read.
            return ListOf(join(of_value(item) for item in value))
        case dict():
            return Record({key: Field(of_value(item)) for key, item in value.items()}, closed=True)
        case _:
            return UNKNOWN


def shape_text(shape: Shape) -> str:
    """The shape in words, such as `{id: text, note?: text, …}`."""
    match shape:
        case Unknown():
            return "any"
        case Scalar():
            return shape.kind
        case ListOf():
            return f"list of {_inner(shape.item)}"
        case StreamOf():
            return f"stream of {_inner(shape.item)}"
        case Record():
            keys = [f"{key}{'' if one.required else '?'}: {shape_text(one.shape)}" for key, one in shape.fields.items()]
            if not shape.closed:
                keys.append("…")
            return f"{shape.name}{' ' if shape.name else ''}{{{', '.join(keys)}}}"
        case OneOf():
            return " | ".join(shape_text(option) for option in shape.options)
        case Likely():
            return f"any, such as {shape_text(shape.shape)}"


def _inner(shape: Shape) -> str:
    return f"({shape_text(shape)})" if isinstance(shape, OneOf) else shape_text(shape)


def in_words(shape: Shape) -> str:
    """What a value of the shape is called in a sentence."""
    match shape:
        case Scalar(kind):
            return {"text": "a text", "number": "a number", "boolean": "true or false", "null": "null"}[kind]
        case ListOf():
            return "a list"
        case StreamOf():
            return "a stream"
        case Record():
            return shape.name or "an object"
        case OneOf():
            return " or ".join(dict.fromkeys(in_words(option) for option in shape.options))
        case _:
            return "a value"
