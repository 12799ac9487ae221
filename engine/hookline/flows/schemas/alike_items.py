"""The items of lists that jsonschema-rs compares with each other.

For `uniqueItems` it hashes all items, and compares those with the same hash. Its hash doesn't tell all items apart.
"""

from collections import Counter
from decimal import Decimal
from math import frexp, inf
from typing import Any, Final, NamedTuple

_WIDE: Final = 2**63
_EXACT: Final = 2**53
"""The integers below are different in binary64."""
_SHORT: Final = 0.2
"""The width of what is compared faster than a number of 128 bits: texts, and integers of at most 64 bits."""
_PRIME: Final = 2**61 - 1
"""Marks are smaller than this."""
_FACTOR: Final = 0x9E3779B97F4A7C1
"""Any large number."""
_BITS: Final = 128
"""The bits of a number beyond which it takes longer."""
_DIGITS: Final = 38
"""The same in decimal digits."""
_SQUARE: Final = 16
"""The width from which the square of the width counts most."""


class _Mark(NamedTuple):
    """The mark of a value. Values with the same hash have the same mark."""

    code: int
    factor: int
    """`_FACTOR` to the power of the number of texts, numbers and objects: it joins the marks of lists."""
    width: float


class AlikeItems:
    """The pairs of different items in lists that a hash may not tell apart.

    Numbers count as the same if binary64 doesn't tell them apart, and lists if the same values follow each other in
    them, however they are nested.
    """

    def __init__(self, most: float) -> None:
        """`most`: the most pairs, each times the width of an item."""
        self._left = most

    def left_by(self, body: Any) -> float:
        """Return how many of them are left after those of a body; less than 0 if there are more."""
        try:
            self._mark(body)
        except _TooMany:
            return -1.0
        return self._left

    def _mark(self, value: Any) -> _Mark:
        kind = type(value)
        if kind is list:
            return self._mark_items(value)
        if kind is dict:
            code, width = 0, _SHORT
            for key, item in value.items():
                mark = self._mark(item)
                code += hash((key, mark.code))
                width += mark.width
            return _Mark(code % _PRIME, _FACTOR, width)
        if kind is int or kind is float or kind is Decimal:
            width = _SHORT if is_integer(value) else width_of(value)
            return _Mark(hash((_nearest(value),)), _FACTOR, width)
        return _Mark(hash((value,)), _FACTOR, _SHORT)

    def _mark_items(self, items: list[Any]) -> _Mark:
        first: dict[int, Any] = {}
        counts: Counter[int] = Counter()
        code, factor, width = 0, 1, _SHORT
        for item in items:
            kind = type(item)
            if kind is str or (kind is int and -_EXACT < item < _EXACT):
                # Those with the same mark are equal, and the first two equal items end the search.
                code = (code * _FACTOR + hash((item,))) % _PRIME
                factor = factor * _FACTOR % _PRIME
                width += _SHORT
                continue
            mark = self._mark(item)
            code = (code * mark.factor + mark.code) % _PRIME
            factor = factor * mark.factor % _PRIME
            width += mark.width
            if first.setdefault(mark.code, item) != item:
                counts[mark.code] += 1
                self._left -= mark.width * (2 * counts[mark.code] + 1)
                if self._left < 0:
                    raise _TooMany
        return _Mark(code, factor, width)


class _TooMany(Exception):
    """There are more pairs than a limit allows."""


def _nearest(number: float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf


def is_integer(value: Any) -> bool:
    """Return true if a value is an integer of at most 64 bits."""
    return type(value) is int and -_WIDE <= value < _WIDE


def width_of(number: float | Decimal) -> float:
    """Return how much longer a number takes than one of 128 bits: it is written out and read, in quadratic time."""
    if isinstance(number, int):
        width = number.bit_length() / _BITS
    elif isinstance(number, float):
        width = abs(frexp(number)[1]) / _BITS
    else:
        width = (abs(number.adjusted()) + len(number.as_tuple().digits)) / _DIGITS
    return max(1.0, width + width**2 / _SQUARE)
