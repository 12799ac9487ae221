"""Portions of many values: one statement over all of them would take much memory."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def portions(values: Sequence[T], most: int = 200) -> Iterator[Sequence[T]]:
    """Yield the values in their order, at most so many at once."""
    for start in range(0, len(values), most):
        yield values[start : start + most]
