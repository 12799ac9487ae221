"""The check that an action's result has the annotated type.

`hookline check` trusts the annotation, so a result of another type is an error of the action.
"""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic import BaseModel

from hookline.flows.types.action_result import result_classes, union_members
from hookline.flows.types.return_annotation import from_annotation
from hookline.flows.types.shape import (
    UNKNOWN,
    Likely,
    ListOf,
    OneOf,
    Record,
    Scalar,
    Shape,
    StreamOf,
    Unknown,
    in_words,
    join,
)
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import CallerReply
from hookline.sdk.action import Increment, Reply, Signal, Sleep

#: Results that aren't values: the annotation must name their class.
_NO_VALUES: Final = (Signal, Sleep, Increment, Reply, CallerReply)
_TEXTS: Final = (str, date, time, UUID)
_LISTS: Final = (list, tuple, set, frozenset)


@dataclasses.dataclass(frozen=True, slots=True)
class _ReturnType:
    """A return annotation: the classes that it names, and the shape of plain values."""

    classes: tuple[type, ...]
    shape: Shape


def return_type_mismatch(annotation: Any, returned: Any) -> str | None:
    """Say how a result differs from the annotation; None if it doesn't, or if the annotation says nothing."""
    try:
        declared = _return_type(annotation)
    except TypeError:
        # The annotation is not hashable.
        return None
    if declared is None:
        return None
    if isinstance(returned, _NO_VALUES):
        if isinstance(returned, declared.classes):
            return None
        return f"it returned a {type(returned).__name__}, which its annotation doesn't name"
    if isinstance(returned, bytes):
        return None if bytes in declared.classes else _said("its result", declared.shape, returned)
    return _mismatch(declared.shape, returned, "its result")


@lru_cache(maxsize=1024)
def _return_type(annotation: Any) -> _ReturnType | None:
    classes = result_classes(annotation)
    if not classes or Any in classes:
        return None
    values = [each for each in union_members(annotation) if not _is_no_value(each)]
    # The body of a Reply isn't checked. Plain values are checked against the rest of the annotation.
    shape = join(map(from_annotation, values)) if values else UNKNOWN
    return _ReturnType(tuple(classes), shape)


def _is_no_value(annotation: Any) -> bool:
    return any(issubclass(kind, _NO_VALUES) for kind in result_classes(annotation))


def _mismatch(shape: Shape, value: Any, place: str) -> str | None:
    """Say how and where a value differs from the shape; None if it doesn't."""
    match shape:
        case Unknown() | Likely():
            return None
        case OneOf(options):
            return (
                None if any(_mismatch(each, value, place) is None for each in options) else _said(place, shape, value)
            )
        case StreamOf():
            return None if isinstance(value, AsyncIterator | Stream) else _said(place, shape, value)
        case ListOf(item):
            if not isinstance(value, _LISTS):
                return _said(place, shape, value)
            if isinstance(item, Unknown):
                return None
            return next(
                (wrong for at, one in enumerate(value) if (wrong := _mismatch(item, one, f"{place}[{at}]"))), None
            )
        case Record():
            return _record(shape, value, place)
        case Scalar(kind):
            value = value.value if isinstance(value, Enum) else value
            right = {
                "text": isinstance(value, _TEXTS),
                "number": isinstance(value, int | float | Decimal) and not isinstance(value, bool),
                "boolean": isinstance(value, bool),
                "null": value is None,
            }[kind]
            return None if right else _said(place, shape, value)


def _record(shape: Record, value: Any, place: str) -> str | None:
    if isinstance(value, BaseModel | msgspec.Struct) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        # Models and dataclasses validate and serialize themselves.
        return None
    if not isinstance(value, Mapping):
        return _said(place, shape, value)
    for name, field in shape.fields.items():
        if name not in value:
            if field.required:
                return f"{place} has no key {name!r}"
        elif wrong := _mismatch(field.shape, value[name], f"{place}.{name}"):
            return wrong
    unknown = sorted(str(name) for name in value if name not in shape.fields) if shape.closed else []
    return f"{place} has the key {unknown[0]!r}, which its type doesn't have" if unknown else None


def _said(place: str, shape: Shape, value: Any) -> str:
    return f"{place} is {_kind(value)}, not {in_words(shape)}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "a text"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case Mapping():
            return "an object"
        case bytes():
            return "bytes"
        case AsyncIterator() | Stream():
            return "a stream"
        case _:
            return f"a {type(value).__name__}"
