"""Looking up a path in a shape: the shape of the value there, or the key that can't exist."""

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
from hookline.kernel.suggestions_and_counts import nearest_name


@dataclass(frozen=True, slots=True)
class PathFound:
    """A value may exist at the path."""

    shape: Shape
    certain: bool = True
    """The value always exists."""
    left_out: int | None = None
    """The index of a key in the path that is declared as optional."""
    doubtful: "PathMissing | None" = None
    """An unknown key for which there is a known, similar one."""


@dataclass(frozen=True, slots=True)
class PathMissing:
    """No value can exist at the path."""

    at: int
    """The index of the wrong key in the path."""
    container: Shape
    """The shape that has no such key."""
    near: str | None = None
    """The key that was probably meant, if any."""


def look_up(shape: Shape, keys: Sequence[str | int], at: int = 0) -> PathFound | PathMissing:
    """Look up the keys of a path from index `at` on."""
    if at >= len(keys):
        return PathFound(shape)
    if isinstance(shape, OneOf):
        return _in_options(shape, keys, at)
    key = keys[at]
    match shape:
        case Unknown():
            return PathFound(UNKNOWN, certain=False)
        case Likely():
            return _likely(look_up(shape.shape, keys, at))
        case Record():
            return _in_record(shape, keys, at)
        case ListOf():
            # The length of the list isn't known.
            return _uncertain(look_up(shape.item, keys, at + 1)) if isinstance(key, int) else PathMissing(at, shape)
        case StreamOf():
            return look_up(NUMBER, keys, at + 1) if key == "count" else PathMissing(at, shape)
        case Scalar(kind):
            # Some expression languages give a character of a text.
            return (
                PathFound(UNKNOWN, certain=False) if kind == "text" and isinstance(key, int) else PathMissing(at, shape)
            )


def _in_record(shape: Record, keys: Sequence[str | int], at: int) -> PathFound | PathMissing:
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


def _uncertain(found: PathFound | PathMissing) -> PathFound | PathMissing:
    return found if isinstance(found, PathMissing) else PathFound(found.shape, False, found.left_out, found.doubtful)


def _likely(found: PathFound | PathMissing) -> PathFound:
    if isinstance(found, PathMissing):
        return PathFound(UNKNOWN, certain=False, doubtful=found)
    return PathFound(likely(found.shape), certain=False, doubtful=found.doubtful)


def _in_options(shape: OneOf, keys: Sequence[str | int], at: int) -> PathFound | PathMissing:
    ends = [look_up(option, keys, at) for option in shape.options]
    found = [end for end in ends if isinstance(end, PathFound)]
    if not found:
        lost = [end for end in ends if isinstance(end, PathMissing)]
        furthest = max(lost, key=lambda end: (end.at, end.near is not None, isinstance(end.container, Record)))
        whole = furthest.at == at and furthest.near is None
        return PathMissing(furthest.at, shape if whole else furthest.container, furthest.near)
    # One option that knows the key is enough.
    doubtful = found[0].doubtful if all(end.doubtful is not None for end in found) else None
    certain = len(found) == len(ends) and all(end.certain for end in found)
    return PathFound(join(end.shape for end in found), certain, None, doubtful)
