"""Shapes: static types of JSON values. No problem is ever reported for an `UNKNOWN` value.

A step may put its input into a new object twice. After thirty such steps, the value has a thousand million keys. Its
shape shares its parts, so it is small, but to compare or write it takes as long as there are keys. So shapes have a
weight and a depth, and those above a bound are `UNKNOWN`: see `bounded`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal, TypeAlias

ScalarType: TypeAlias = Literal["text", "number", "boolean", "null"]
_MOST: Final = 12
"""The most alternatives that a shape has; with more it is `UNKNOWN`."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Any value."""

    weight: ClassVar[int] = 3
    depth: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, boolean or null."""

    kind: ScalarType
    weight: ClassVar[int] = 7
    depth: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: "Shape"
    weight: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _weigh(self, 8, (self.item,))


@dataclass(frozen=True, slots=True)
class StreamOf:
    """A stored list of many items. A foreach can iterate over it, and expressions can read its `count`."""

    item: "Shape"
    weight: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _weigh(self, 10, (self.item,))


@dataclass(frozen=True, slots=True)
class Field:
    """A key of an object."""

    shape: "Shape"
    required: bool = True
    """The object always has it."""


@dataclass(frozen=True, slots=True)
class Record:
    """An object."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    closed: bool = False
    """The object has no other keys."""
    name: str = ""
    """The name of its type, if any."""
    declared: bool = False
    """A type or schema says which keys are required, so the others must be expected to be missing."""
    weight: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        known = getattr(self.fields, "weight", None)
        if known is not None:
            _set(self, known, self.fields.depth)  # type: ignore[attr-defined]  # those with a weight have a depth
        else:
            _weigh(self, 4 + sum(map(len, self.fields)), [one.shape for one in self.fields.values()])


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several shapes."""

    options: "tuple[Shape, ...]"
    weight: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _weigh(self, 3, self.options)


@dataclass(frozen=True, slots=True)
class Likely:
    """Any value. The samples of it have this shape."""

    shape: "Shape"
    weight: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _weigh(self, 13, (self.shape,))


Shape: TypeAlias = Unknown | Scalar | ListOf | StreamOf | Record | OneOf | Likely


def _weigh(shape: "Shape", own: int, inner: "Collection[Shape]") -> None:
    """Set the weight of a shape, which is about the length of its text, and its depth."""
    _set(shape, own + sum(one.weight for one in inner), 1 + max((one.depth for one in inner), default=0))


def _set(shape: "Shape", weight: int, depth: int) -> None:
    object.__setattr__(shape, "weight", weight)
    object.__setattr__(shape, "depth", depth)


UNKNOWN: Final = Unknown()
TEXT: Final = Scalar("text")
NUMBER: Final = Scalar("number")
BOOLEAN: Final = Scalar("boolean")
NULL: Final = Scalar("null")


_HEAVIEST: Final = 200_000
_DEEPEST: Final = 100


def bounded(shape: Shape) -> Shape:
    """The shape, or `UNKNOWN` if it is too large to be compared and written at each step."""
    return shape if shape.weight <= _HEAVIEST and shape.depth <= _DEEPEST else UNKNOWN


def closed(**fields: Shape) -> Record:
    """An object that has these keys, and no others."""
    return Record({name: Field(shape) for name, shape in fields.items()}, closed=True)


def alternatives(shape: Shape) -> tuple[Shape, ...]:
    """The alternatives of a shape."""
    return shape.options if isinstance(shape, OneOf) else (shape,)


def likely(shape: Shape) -> Shape:
    """The shape of a value that probably, but not certainly, has this shape."""
    return shape if isinstance(shape, Unknown | Likely) else Likely(shape)


def expected(shape: Shape) -> Shape:
    """The certain or likely shape."""
    return shape.shape if isinstance(shape, Likely) else shape


def join(shapes: Iterable[Shape]) -> Shape:
    """The shape of a value that has one of several shapes; unknown if one of them is."""
    found: list[Shape] = []
    for shape in shapes:
        for option in alternatives(shape):
            if isinstance(option, Unknown):
                return UNKNOWN
            if option not in found:
                found.append(option)
    if not found or len(found) > _MOST:
        return UNKNOWN
    return found[0] if len(found) == 1 else OneOf(tuple(found))


def of_value(value: Any) -> Shape:
    """The shape of a constant value."""
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
            # The items of an empty list are unknown.
            return ListOf(join(of_value(item) for item in value))
        case dict():
            return Record({key: Field(of_value(item)) for key, item in value.items()}, closed=True)
        case _:
            return UNKNOWN


def shape_text(shape: Shape) -> str:
    """The shape as text, such as `{id: text, note?: text, …}`."""
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
    """The name of a value of this shape in a sentence, such as `a list`."""
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
