"""Following a path into a shape: what stands there, and whether anything can."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookline.flows.types.shape import (
    NUMBER,
    UNKNOWN,
    Likely,
    ListOf,
    OneOf,
    Record,
    Scalar,
    Shape,
    StreamOf,
    Unknown,
    join,
    likely,
)
from hookline.kernel.suggest import nearest_name


@dataclass(frozen=True, slots=True)
class Found:
    """Something may stand there."""

    shape: Shape
    certain: bool = True
    """Something always does."""
    left_out: int | None = None
    """Which key of the path is declared as one that may be missing."""
    doubtful: "Lost | None" = None
    """A key that isn't known, while there is one like it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing can stand there."""

    at: int
    """Which key of the path is the wrong one."""
    container: Shape
    """What has no such key."""
    near: str | None = None
    """The key that was probably meant."""


def follow(shape: Shape, keys: Sequence[str | int], at: int = 0) -> Found | Lost:
    """What stands at a path; keys are counted from `at`."""
    if at >= len(keys):
        return Found(shape)
    if isinstance(shape, OneOf):
        return _any_of(shape, keys, at)
    key = keys[at]
    match shape:
        case Unknown():
            return Found(UNKNOWN, certain=False)
        case Likely():
            return _guessed(follow(shape.shape, keys, at))
        case Record():
            return _into(shape, keys, at)
        case ListOf():
            # How long it is isn't known.
            return _doubted(follow(shape.item, keys, at + 1)) if isinstance(key, int) else Lost(at, shape)
        case StreamOf():
            return follow(NUMBER, keys, at + 1) if key == "count" else Lost(at, shape)
        case Scalar(kind):
            # Of a text, some languages give a character.
            return Found(UNKNOWN, certain=False) if kind == "text" and isinstance(key, int) else Lost(at, shape)


def _into(shape: Record, keys: Sequence[str | int], at: int) -> Found | Lost:
    key = keys[at]
    if isinstance(key, int):
        return Lost(at, shape)
    field = shape.fields.get(key)
    if field is not None:
        found = follow(field.shape, keys, at + 1)
        if field.required or isinstance(found, Lost):
            return found
        return Found(found.shape, certain=False, left_out=at if shape.declared else None, doubtful=found.doubtful)
    near = nearest_name(key, shape.fields)
    if shape.closed:
        return Lost(at, shape, near)
    return Found(UNKNOWN, certain=False, doubtful=Lost(at, shape, near) if near is not None else None)


def _doubted(found: Found | Lost) -> Found | Lost:
    return found if isinstance(found, Lost) else Found(found.shape, False, found.left_out, found.doubtful)


def _guessed(found: Found | Lost) -> Found:
    if isinstance(found, Lost):
        return Found(UNKNOWN, certain=False, doubtful=found)
    return Found(likely(found.shape), certain=False, doubtful=found.doubtful)


def _any_of(shape: OneOf, keys: Sequence[str | int], at: int) -> Found | Lost:
    ends = [follow(option, keys, at) for option in shape.options]
    found = [end for end in ends if isinstance(end, Found)]
    if not found:
        lost = [end for end in ends if isinstance(end, Lost)]
        furthest = max(lost, key=lambda end: (end.at, end.near is not None, isinstance(end.container, Record)))
        whole = furthest.at == at and furthest.near is None
        return Lost(furthest.at, shape if whole else furthest.container, furthest.near)
    # One that knows the key is enough.
    doubtful = found[0].doubtful if all(end.doubtful is not None for end in found) else None
    certain = len(found) == len(ends) and all(end.certain for end in found)
    return Found(join(end.shape for end in found), certain, None, doubtful)
