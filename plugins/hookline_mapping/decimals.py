"""Exact fractions in expressions: arithmetic that only rounds quotients, and values with Decimals.

Python's own operators, signs and `abs` round Decimals to the 28 digits of a context that is shared with other code.
Here a result has all its digits, or is an error if these are more than an exact number may have.
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
"""The least digits of a quotient, those of IEEE 754's decimal128; it has more if an operand has more."""
_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow, Subnormal]
_EXACT: Final = Context(MAX_DIGITS, ROUND_HALF_EVEN, -MAX_EXPONENT, MAX_EXPONENT, 1, 0, [], [*_TRAPS, Inexact])
_WIDE: Final = Context(MAX_PREC, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, 1, 0, [], [InvalidOperation])
"""For results that are limited in another way."""
_ROUNDINGS: Final = {"common": ROUND_HALF_EVEN, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}
_LONGEST: Final = MAX_DIGITS + 20


def decimal_of(number: Any) -> Decimal:
    """Return a number as a Decimal; for a binary fraction, the shortest equal one. Raises ExpressionFailed."""
    if isinstance(number, Decimal):
        return number
    if isinstance(number, float):
        if not isfinite(number):
            raise ExpressionFailed(f"{number} is not a finite number")
        return Decimal(repr(number))
    return Decimal(number)


def exact_value(value: Any) -> Any:
    """Return a JSON value with its binary fractions as Decimals; the same object if it has none."""
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
    """Return the exact result of `+ - * / // %` on two numbers; only a quotient is rounded.

    `//` and `%` round down, as with other numbers. Raises ExpressionFailed.
    """
    try:
        made = _OPERATORS[operator](decimal_of(left), decimal_of(right))
    except (Inexact, Overflow, Subnormal):
        raise ExpressionFailed(f"`{operator}` gives a number of more than {MAX_DIGITS:,} digits") from None
    except DivisionByZero:
        raise ExpressionFailed(f"`{operator}`: division by zero") from None
    except InvalidOperation:
        raise ExpressionFailed(f"`{operator}` can't be calculated of {left} and {right}"[:200]) from None
    # A zero can have too many digits after the point, too.
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
    """Return a number with this many places after the point; `method` is `common`, `ceil` or `floor`.

    Raises ExpressionFailed.
    """
    rounding = _ROUNDINGS.get(method)
    if rounding is None:
        raise ExpressionFailed(f"`round` has the methods {', '.join(_ROUNDINGS)}, not {str(method)[:40]!r}")
    made = number.quantize(Decimal((0, (1,), -places)), rounding, _WIDE)
    # With negative places, it is a number of tens, hundreds and so on.
    made = made if places >= 0 else made.quantize(Decimal(1), context=_WIDE)
    if not within_bounds(made):
        raise ExpressionFailed(f"`round` gives a number of more than {MAX_DIGITS:,} digits")
    return made


def read(text: str) -> Decimal | None:
    """Return the number in a text; None if there is none, or if it is too long."""
    if len(text) > _LONGEST:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if within_bounds(number) else None
