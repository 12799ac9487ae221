"""CEL's operators and functions on JSON values."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from hookline.api import ExpressionFailed
from hookline_mapping.budget import Budget
from hookline_mapping.cel_literals import LEAST, MOST
from hookline_mapping.cel_times import PARTS, duration, part, timestamp, written
from hookline_mapping.comparison import BY_ORDER, same
from hookline_mapping.decimals import calculate, read, rounded
from hookline_mapping.values import json_text

_LONGEST_PATTERN: Final = 1000
_PATTERN_NODES: Final = 2000
"""What compiling a pattern costs."""
_STEPS_OF_A_NODE: Final = 64
"""How many steps of RE2's slowest matcher take as long as visiting one value: its time is bounded by the product of
the pattern's size and the text's."""
_SEARCHED_IN_A_NODE: Final = 128
"""Characters of a text that are searched for another in as long."""
_TIME_NODES: Final = 8
"""What it costs to read a time, or one of its parts."""
_LONGEST_NUMBER: Final = 1000


class CelBudget(Budget):
    """What one evaluation may still spend, and the patterns that it has paid for."""

    __slots__ = ("patterns",)

    def __init__(self) -> None:
        super().__init__()
        self.patterns: set[str] = set()


class Type:
    """What `type(x)` gives; each there is once."""

    def __init__(self, name: str) -> None:
        self.name = name


TYPES: Final = {
    name: Type(name)
    for name in ("bool", "int", "double", "string", "list", "map", "null_type", "timestamp", "duration", "type")
}
_KINDS: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    float: "double",
    Decimal: "double",
    str: "string",
    list: "list",
    dict: "map",
    type(None): "null_type",
    datetime: "timestamp",
    timedelta: "duration",
    Type: "type",
}


def kind(value: Any) -> str:
    """The name of a value's type."""
    return _KINDS.get(type(value)) or ("map" if hasattr(value, "keys") else "list")


def _no(operator: str, *values: Any) -> ExpressionFailed:
    given = " and ".join(kind(value) for value in values)
    return ExpressionFailed(f"`{operator}` doesn't go with {given}")


def truth(value: Any, where: str) -> bool:
    """Raises ExpressionFailed for what is neither true nor false."""
    if value is True or value is False:
        return bool(value)
    raise ExpressionFailed(f"{where} wants true or false, and has {kind(value)}")


def arithmetic(operator: str, left: Any, right: Any, budget: Budget, *, exact: bool) -> Any:
    """`+ - * / %`. Raises ExpressionFailed."""
    one, two = kind(left), kind(right)
    if one == two == "int":
        return _whole(operator, left, right)
    if one in ("int", "double") and two in ("int", "double") and operator != "%":
        if exact or isinstance(left, Decimal) or isinstance(right, Decimal):
            return calculate(operator, left, right)
        return _fraction(operator, left, right)
    if operator == "+" and one == two == "string":
        budget.spend_text(len(left) + len(right))
        return left + right
    if operator == "+" and one == two == "list":
        budget.spend_nodes(len(left) + len(right))
        return [*left, *right]
    if ("duration" in (one, two) and {one, two} <= {"timestamp", "duration"}) or one == two == "timestamp":
        return _time(operator, left, right)
    raise _no(operator, left, right)


def _whole(operator: str, left: int, right: int) -> int:
    if not (LEAST <= left <= MOST and LEAST <= right <= MOST):
        raise ExpressionFailed(f"`{operator}` takes integers of 64 bits")
    match operator:
        case "+":
            made = left + right
        case "-":
            made = left - right
        case "*":
            made = left * right
        case _ if right == 0:
            raise ExpressionFailed("an integer is divided by zero")
        case "/":
            # Towards zero.
            made = abs(left) // abs(right)
            made = -made if (left < 0) != (right < 0) else made
        case _:
            made = abs(left) % abs(right)
            made = -made if left < 0 else made
    if not LEAST <= made <= MOST:
        raise ExpressionFailed(f"`{operator}` gives an integer of more than 64 bits; write double(…)")
    return made


def _fraction(operator: str, left: Any, right: Any) -> float:
    try:
        one, two = float(left), float(right)
        if operator == "/":
            if two == 0:
                raise ExpressionFailed("a number is divided by zero")
            return one / two
        return one + two if operator == "+" else one - two if operator == "-" else one * two
    except OverflowError:
        raise ExpressionFailed(f"`{operator}` takes numbers that a double can be") from None


def _time(operator: str, left: Any, right: Any) -> Any:
    try:
        if operator == "+" and not (isinstance(left, datetime) and isinstance(right, datetime)):
            return left + right
        if operator == "-" and not (isinstance(left, timedelta) and isinstance(right, datetime)):
            return left - right
    except OverflowError:
        raise ExpressionFailed(f"`{operator}` gives a time that there isn't") from None
    raise _no(operator, left, right)


def negated(value: Any) -> Any:
    """`-x`."""
    if kind(value) == "int":
        return _whole("-", 0, value)
    if kind(value) == "double":
        return value.copy_negate() if isinstance(value, Decimal) else -value
    raise _no("-", value)


def ordered(operator: str, left: Any, right: Any, budget: Budget) -> bool:
    """`< <= > >=`: of numbers whatever they are, and of two of one type that has an order."""
    one, two = kind(left), kind(right)
    if (one in ("int", "double") and two in ("int", "double")) or (
        one == two and one in ("string", "bool", "timestamp", "duration")
    ):
        if one == "string":
            budget.spend_copy(min(len(left), len(right)))
        return BY_ORDER[operator](left, right)
    raise _no(operator, left, right)


def contained(value: Any, container: Any, budget: Budget) -> bool:
    """`x in list` or `key in map`."""
    if isinstance(container, list):
        budget.spend_nodes(len(container) // 8)
        return any(same(each, value, budget) for each in container)
    if kind(container) == "map":
        return isinstance(value, str) and value in container
    raise _no("in", value, container)


def matches(text: Any, pattern: Any, budget: Budget) -> bool:
    """Whether some part of a text is of a pattern of RE2, whose time is linear."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise _no("matches", text, pattern)
    known = budget.patterns if isinstance(budget, CelBudget) else set()
    if pattern not in known:
        budget.spend_nodes(_PATTERN_NODES)
        known.add(pattern)
    compiled = _pattern(pattern)
    budget.spend_nodes(compiled.programsize * (len(text) + 1) // _STEPS_OF_A_NODE)
    return compiled.search(text) is not None


@lru_cache(256)
def _pattern(pattern: str) -> Any:
    if len(pattern) > _LONGEST_PATTERN:
        raise ExpressionFailed(f"a pattern has more than {_LONGEST_PATTERN:,} characters")
    options = re2.Options()
    options.log_errors = False
    # It bounds the pattern's size, and with it the time that compiling takes.
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ExpressionFailed(f"the pattern {pattern[:60]!r} can't be used: {text[:100]}") from None


def _size(value: Any, budget: Budget) -> int:
    if isinstance(value, str | list) or kind(value) == "map":
        return len(value)
    raise _no("size", value)


def _int(value: Any, budget: Budget) -> int:
    made: int | None = None
    try:
        match kind(value):
            case "int":
                made = value
            case "double":
                made = (
                    int(rounded(value, 0, "floor" if value > 0 else "ceil"))
                    if isinstance(value, Decimal)
                    else int(value)
                )
            case "string" if len(value) <= 40 and value.isascii() and "_" not in value and value.strip() == value:
                made = int(value)
            case "timestamp":
                made = int((value - timestamp(0)) // timedelta(seconds=1))
            case "string":
                pass
            case _:
                raise _no("int", value)
    except (ValueError, OverflowError):
        made = None
    if made is None or not LEAST <= made <= MOST:
        raise ExpressionFailed("int() has no number of 64 bits")
    return made


def _double(value: Any, budget: Budget, *, exact: bool) -> Any:
    try:
        match kind(value):
            case "int" | "double":
                return (
                    read(str(value)) if exact and not isinstance(value, Decimal) else value if exact else float(value)
                )
            case "string" if len(value) <= _LONGEST_NUMBER and "_" not in value and value.strip() == value:
                made = read(value) if exact else float(value)
                if made is not None and math.isfinite(made):
                    return made
            case "string":
                pass
            case _:
                raise _no("double", value)
    except (ValueError, OverflowError):
        pass
    raise ExpressionFailed("double() has no number")


def _string(value: Any, budget: Budget) -> str:
    match kind(value):
        case "string":
            return str(value)
        case "timestamp" | "duration":
            return str(written(value))
        case "int" | "double" | "bool":
            made = json_text(value, budget)
            budget.spend_text(len(made))
            return made
        case _:
            raise _no("string", value)


def _bool(value: Any, budget: Budget) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    raise ExpressionFailed("bool() has neither true nor false")


_TRUTHS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}


def _texts(name: str, function: Callable[[str, str], bool]) -> Callable[[Any, Any, Budget], bool]:
    def call(text: Any, other: Any, budget: Budget) -> bool:
        if not isinstance(text, str) or not isinstance(other, str):
            raise _no(name, text, other)
        budget.spend_nodes((len(text) + len(other)) // _SEARCHED_IN_A_NODE)
        return function(text, other)

    return call


def _timed(read_time: Callable[[Any], Any], value: Any, budget: Budget) -> Any:
    budget.spend_nodes(_TIME_NODES)
    return read_time(value)


Function = Callable[..., Any]

#: Of one value, before parentheses that hold it: `size(x)`.
FUNCTIONS: Final[dict[str, Function]] = {
    "size": _size,
    "int": _int,
    "string": _string,
    "bool": _bool,
    "type": lambda value, budget: TYPES[kind(value)],
    "dyn": lambda value, budget: value,
    "timestamp": lambda value, budget: _timed(timestamp, value, budget),
    "duration": lambda value, budget: _timed(duration, value, budget),
}
#: Of a value and another in parentheses behind it: `x.contains(y)`.
METHODS: Final[dict[str, Function]] = {
    "contains": _texts("contains", lambda text, other: other in text),
    "startsWith": _texts("startsWith", str.startswith),
    "endsWith": _texts("endsWith", str.endswith),
    "matches": matches,
}


def doubles(*, exact: bool) -> Function:
    """`double(x)` for a flow whose numbers are exact or aren't."""
    return lambda value, budget: _double(value, budget, exact=exact)


def method(name: str, value: Any, arguments: list[Any], budget: Budget) -> Any:
    """`value.name(arguments)`. Raises ExpressionFailed."""
    if name in METHODS and len(arguments) == 1:
        return METHODS[name](value, arguments[0], budget)
    if name == "size" and not arguments:
        return _size(value, budget)
    budget.spend_nodes(_TIME_NODES)
    return part(name, value, *arguments)


def is_method(name: str, count: int) -> bool:
    """Whether there is a method of that name that takes so many values."""
    return (name in METHODS and count == 1) or (name == "size" and count == 0) or (name in PARTS and count <= 1)


def plain(value: Any, budget: Budget) -> Any:
    """A value as JSON has it: times are texts, wherever they stand."""
    budget.spend_nodes(1)
    match value:
        case datetime() | timedelta():
            return written(value)
        case Type():
            return value.name
        case list():
            return [plain(each, budget) for each in value]
        case dict():
            return {key: plain(each, budget) for key, each in value.items()}
        case _:
            return value
