"""Exact fractions in expressions: arithmetic that never rounds except where it divides,
and values whose binary fractions become Decimals.

Python's own operators round Decimals to the 28 digits of a context that they share with whatever else runs; so do its
signs and `abs`. Here a result has all its digits, or is an error where those are more than an exact number may have.
"""

from collections.abc import Callable
from decimal import (
    MAX_EMAX,
    MAX_PREC,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
)
from math import isfinite
from typing import Any, Final

from hookline.api import MAX_DIGITS, MAX_EXPONENT, ExpressionFailed, within_bounds

QUOTIENT_DIGITS: Final = 34
"""Digits of a quotient, or as many as the longer operand has: those of IEEE 754's decimal128."""
_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow, Subnormal]
_EXACT: Final = Context(MAX_DIGITS, ROUND_HALF_EVEN, -MAX_EXPONENT, MAX_EXPONENT, 1, 0, [], [*_TRAPS, Inexact])
_WIDE: Final = Context(MAX_PREC, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, 1, 0, [], [InvalidOperation])
"""For what is bounded by something else."""
_ROUNDINGS: Final = {"common": ROUND_HALF_EVEN, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}
_LONGEST: Final = MAX_DIGITS + 20


def decimal_of(number: Any) -> Decimal:
    """A number as a Decimal; of a binary fraction, the shortest that reads the same. Raises ExpressionFailed."""
    if isinstance(number, Decimal):
        return number
    if isinstance(number, float):
        if not isfinite(number):
            raise ExpressionFailed(f"{number} is no number that can be calculated with")
        return Decimal(repr(number))
    return Decimal(number)


def exact_value(value: Any) -> Any:
    """A JSON value with its binary fractions as Decimals, as they read. Gives the same object where it has none."""
    if isinstance(value, float):
        return decimal_of(value)
    if isinstance(value, list):
        made = [exact_value(each) for each in value]
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value
    if isinstance(value, dict):
        changed = {key: new for key, each in value.items() if (new := exact_value(each)) is not each}
        return {**value, **changed} if changed else value
    return value


def calculate(operator: str, left: Any, right: Any) -> Decimal:
    """The exact result of `+ - * / // %` on two numbers, of which a quotient alone is rounded.

    `//` and `%` round down, as they do with other numbers. Raises ExpressionFailed.
    """
    try:
        made = _OPERATORS[operator](decimal_of(left), decimal_of(right))
    except (Inexact, Overflow, Subnormal):
        raise ExpressionFailed(f"`{operator}` gives a number of more than {MAX_DIGITS:,} digits") from None
    except DivisionByZero:
        raise ExpressionFailed(f"`{operator}`: division by zero") from None
    except InvalidOperation:
        raise ExpressionFailed(f"`{operator}` can't be calculated of {left} and {right}"[:200]) from None
    # Of nothing, the zeros behind the point can be too many all the same.
    return made if made or within_bounds(made) else Decimal()


def _divided(left: Decimal, right: Decimal) -> Decimal:
    digits = max(QUOTIENT_DIGITS, len(left.as_tuple().digits), len(right.as_tuple().digits))
    context = Context(min(digits, MAX_DIGITS), ROUND_HALF_EVEN, -MAX_EXPONENT, MAX_EXPONENT, 1, 0, [], _TRAPS)
    return context.divide(left, right)


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    rest = _EXACT.remainder(left, right)
    return _EXACT.add(rest, right) if rest and (rest < 0) is not (right < 0) else rest


def _whole_quotient(left: Decimal, right: Decimal) -> Decimal:
    quotient = _EXACT.divide_int(left, right)
    rest = _EXACT.remainder(left, right)
    return _EXACT.subtract(quotient, Decimal(1)) if rest and (rest < 0) is not (right < 0) else quotient


_OPERATORS: Final[dict[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": _EXACT.add,
    "-": _EXACT.subtract,
    "*": _EXACT.multiply,
    "/": _divided,
    "//": _whole_quotient,
    "%": _remainder,
}


def rounded(number: Decimal, places: int, method: str) -> Decimal:
    """A number with so many places behind the point; `method` is `common`, `ceil` or `floor`.

    Raises ExpressionFailed.
    """
    rounding = _ROUNDINGS.get(method)
    if rounding is None:
        raise ExpressionFailed(f"`round` knows the methods {', '.join(_ROUNDINGS)}, and not {str(method)[:40]!r}")
    made = number.quantize(Decimal((0, (1,), -places)), rounding, _WIDE)
    # With negative places it is a number of tens, hundreds, …, which is written out.
    made = made if places >= 0 else made.quantize(Decimal(1), context=_WIDE)
    if not within_bounds(made):
        raise ExpressionFailed(f"`round` gives a number of more than {MAX_DIGITS:,} digits")
    return made


def read(text: str) -> Decimal | None:
    """The number that a text says; None where it says none, or one that is out of bounds."""
    if len(text) > _LONGEST:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if within_bounds(number) else None
