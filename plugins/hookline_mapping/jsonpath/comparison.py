"""The comparison of JSON values in queries: as in RFC 9535, numbers with numbers, and texts with texts."""

import operator
from collections.abc import Callable
from typing import Any, Final

from hookline_mapping.budget import Budget

BY_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
#: Values without an order are only equal or not.
BY_EQUALITY: Final[dict[str, Callable[[bool], bool]]] = {
    "!=": operator.not_,
    "==": bool,
    "=": bool,
    "<=": bool,
    ">=": bool,
    "<": lambda equal: False,
    ">": lambda equal: False,
}


def compare(op: str, left: Any, right: Any, budget: Budget) -> bool:
    """Return true if the comparison of two values holds."""
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return BY_ORDER[op](left, right)
    return BY_EQUALITY[op](same(left, right, budget))


def is_number(value: Any) -> bool:
    """Return true for a JSON number; true and false aren't numbers."""
    return not isinstance(value, bool | str | list | dict | None)


def same(left: Any, right: Any, budget: Budget) -> bool:
    """Return true if two JSON values are equal; true isn't 1."""
    pairs = [(left, right)]
    while pairs:
        budget.spend_nodes(1)
        one, two = pairs.pop()
        if isinstance(one, bool) or isinstance(two, bool):
            if one is not two:
                return False
        elif isinstance(one, list) and isinstance(two, list):
            if len(one) != len(two):
                return False
            budget.spend_nodes(len(one))
            pairs += zip(one, two, strict=True)
        elif isinstance(one, dict) and isinstance(two, dict):
            if one.keys() != two.keys():
                return False
            pairs += ((value, two[key]) for key, value in one.items())
        elif isinstance(one, str) and isinstance(two, str):
            if len(one) == len(two):
                budget.spend_copy(len(one))
            if one != two:
                return False
        elif isinstance(one, list | dict) or isinstance(two, list | dict) or one != two:
            return False
    return True
