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
class PathFound:
    """Something may stand there."""

    shape: Shape
    certain: bool = True
    """Something always does."""
    left_out: int | None = None
    """Which key of the path is declared as one that may be missing."""
    doubtful: "PathMissing | None" = None
    """A key that isn't known, while there is one like it."""


@dataclass(frozen=True, slots=True)
class PathMissing:
    """Nothing can stand there."""

    at: int
    """Which key of the path is the wrong one."""
    container: Shape
    """What has no such key."""
    near: str | None = None
    """The key that was probably meant."""


def look_up(shape: Shape, keys: Sequence[str | int], at: int = 0) -> PathFound | PathMissing:
    """What stands at a path; keys are counted from `at`."""
    if at >= len(keys):
        return PathFound(shape)
    if isinstance(shape, OneOf):
        return _any_of(shape, keys, at)
    key = keys[at]
    match shape:
        case Unknown():
            return PathFound(UNKNOWN, certain=False)
        case Likely():
            return _guessed(look_up(shape.shape, keys, at))
        case Record():
            return _into(shape, keys, at)
        case ListOf():
            # How long it is isn't known.
            return _doubted(look_up(shape.item, keys, at + 1)) if isinstance(key, int) else PathMissing(at, shape)
        case StreamOf():
            return look_up(NUMBER, keys, at + 1) if key == "count" else PathMissing(at, shape)
        case Scalar(kind):
            # Of a text, some languages give a character.
            return (
                PathFound(UNKNOWN, certain=False) if kind == "text" and isinstance(key, int) else PathMissing(at, shape)
            )


def _into(shape: Record, keys: Sequence[str | int], at: int) -> PathFound | PathMissing:
    key = keys[at]
    if isinstance(key, int):
        return PathMissing(at, shape)
    field = shape.fields.get(key)
    if field is not None:
        found = look_up(field.shape, keys, at + 1)
        if field.required or isinstance(found, PathMissing):
            return found
        return PathFound(found.shape, certain=False, left_out=at if shape.declared else None, doubtful=found.doubtful)
    near = nearest_name(key, shape.fields)
    if shape.closed:
        return PathMissing(at, shape, near)
    return PathFound(UNKNOWN, certain=False, doubtful=PathMissing(at, shape, near) if near is not None else None)


def _doubted(found: PathFound | PathMissing) -> PathFound | PathMissing:
    return found if isinstance(found, PathMissing) else PathFound(found.shape, False, found.left_out, found.doubtful)


def _guessed(found: PathFound | PathMissing) -> PathFound:
    if isinstance(found, PathMissing):
        return PathFound(UNKNOWN, certain=False, doubtful=found)
    return PathFound(likely(found.shape), certain=False, doubtful=found.doubtful)


def _any_of(shape: OneOf, keys: Sequence[str | int], at: int) -> PathFound | PathMissing:
    ends = [look_up(option, keys, at) for option in shape.options]
    found = [end for end in ends if isinstance(end, PathFound)]
    if not found:
        lost = [end for end in ends if isinstance(end, PathMissing)]
        furthest = max(lost, key=lambda end: (end.at, end.near is not None, isinstance(end.container, Record)))
        whole = furthest.at == at and furthest.near is None
        return PathMissing(furthest.at, shape if whole else furthest.container, furthest.near)
    # One that knows the key is enough.
    doubtful = found[0].doubtful if all(end.doubtful is not None for end in found) else None
    certain = len(found) == len(ends) and all(end.certain for end in found)
    return PathFound(join(end.shape for end in found), certain, None, doubtful)
