"""Arithmetic in queries: on numbers of bounded size; `+` joins texts, or lists."""

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from hookline.api import ExpressionFailed
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import calculate as calculate_exactly
from hookline_mapping.jsonpath.comparison import is_number

_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_MAX_BITS: Final = 14_000


def calculate(symbol: str, left: Any, right: Any, budget: Budget, *, exact: bool) -> Any:
    """Return the result. Raises ExpressionFailed for operands that can't be calculated, and ExpressionLimit.

    `exact`: the quotient of two integers is a Decimal.
    """
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        budget.spend_text(len(left) + len(right))
        return left + right
    if symbol == "+" and isinstance(left, list) and isinstance(right, list):
        budget.spend_nodes(len(left) + len(right))
        return left + right
    if not (is_number(left) and is_number(right)):
        raise ExpressionFailed(f"{_kind(left)} {symbol} {_kind(right)} can't be calculated; `{symbol}` takes numbers")
    for value in (left, right):
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise ExpressionFailed(f"`{symbol}` takes numbers of at most {_MAX_BITS} bits")
    if isinstance(left, Decimal) or isinstance(right, Decimal) or (exact and symbol == "/"):
        return calculate_exactly(symbol, left, right)
    try:
        return _ARITHMETIC[symbol](left, right)
    except (ArithmeticError, TypeError) as error:
        raise ExpressionFailed(f"`{symbol}`: {error}") from error


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return _KINDS.get(type(value), "a number")


_KINDS: Final[dict[type, str]] = {bool: "a truth value", str: "a text", list: "a list", dict: "an object"}
