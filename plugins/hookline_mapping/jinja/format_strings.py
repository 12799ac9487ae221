"""Printf-like and brace formats, without wide fields: a field's width must not determine the length of the text."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import Formatter
from typing import Any, Final

from hookline.api import ExpressionFailed, ExpressionLimit
from hookline_mapping.budget import MAX_TEXT, Budget
from hookline_mapping.expression_results import is_whole, text

_MAX_WIDTH: Final = 100
_LONGEST_NUMBER: Final = 4_300
_PERCENT = re.compile(
    r"%(?:%|(?:\((?P<key>\w+)\))?(?P<flags>[#0\- +]*+)(?P<width>\*|\d++)?"
    r"(?:\.(?P<places>\*|\d*+))?(?P<kind>[diouxXeEfFgGcs]))"
)
_NUMBER = re.compile(r"\d+")


def percent_format(budget: Budget, pattern: str, values: tuple[Any, ...] | Mapping[str, Any]) -> str:
    """Format as in `'%05.2f' | format(x)`. Raises ExpressionLimit for a wide field, ExpressionFailed otherwise."""
    if len(values) == 1 and not isinstance(values, Mapping) and isinstance(values[0], Mapping):
        values = values[0]
    budget.spend_turns(pattern.count("%"))
    if "%" in _PERCENT.sub("", pattern):
        raise ExpressionFailed(f"{pattern[:60]!r} isn't a format: a % in it doesn't begin a supported field")
    for field in _PERCENT.finditer(pattern):
        for size in (field["width"], field["places"]):
            if size == "*":
                raise ExpressionLimit("the width in a format can't be a value; write it as a number")
            _check_width(size)
    pattern = _with_decimals(pattern, values)
    shown: Any
    if isinstance(values, Mapping):
        shown = {key: _shown(value, budget) for key, value in values.items()}
    else:
        shown = tuple(_shown(value, budget) for value in values)
    if isinstance(shown, dict):
        # One value may fill each field, so the length is checked before the text is made.
        keys = (field["key"] for field in _PERCENT.finditer(pattern))
        budget.spend_copy(len(pattern) + sum(_length(shown.get(key, "")) for key in keys))
    try:
        made: str = pattern % shown
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ExpressionFailed(f"the format {pattern[:60]!r} can't be filled: {error}") from error
    return _filled(pattern, made, budget)


def _with_decimals(pattern: str, values: tuple[Any, ...] | Mapping[str, Any]) -> str:
    """Fill the Decimals into their fields, because Python's own formatting would convert them to binary fractions.

    Their values stay in the list, but are not shown.
    """
    given = values.values() if isinstance(values, Mapping) else values
    if not any(isinstance(value, Decimal) for value in given):
        return pattern
    places = iter(range(len(values)))

    def filled(field: re.Match[str]) -> str:
        if field["kind"] is None:
            return field[0]
        try:
            value = values[field["key"]] if isinstance(values, Mapping) else values[next(places)]
        except (LookupError, StopIteration):
            return field[0]
        if not isinstance(value, Decimal) or field["kind"] not in "eEfFgG":
            return field[0]
        flags, width = field["flags"], field["width"] or ""
        sign = "+" if "+" in flags else " " if " " in flags else ""
        filling = "<" if "-" in flags else ""
        zeros = "0" if "0" in flags and "-" not in flags and width else ""
        number = format(
            value,
            f"{filling}{sign}{zeros}{width}.{field['places'] or (6 if field['places'] is None else 0)}{field['kind']}",
        )
        # The value is consumed, and adds no text.
        return f"{number}%({field['key']}).0s" if field["key"] else f"{number}%.0s"

    return _PERCENT.sub(filled, pattern)


class BraceFormat(Formatter):
    """`'{:.2f}'.format(x)`, over JSON values: fields have keys, not attributes."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._length = 0

    def fill(self, pattern: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Fill the pattern. Raises ExpressionFailed and ExpressionLimit."""
        self._budget.spend_turns(2 * pattern.count("{"))
        try:
            made = self.vformat(pattern, args, kwargs)
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise ExpressionFailed(f"the format {pattern[:60]!r} can't be filled: {error}") from error
        return _filled(pattern, made, self._budget)

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return an argument by its name, without parts inside it."""
        if "." in field_name or "[" in field_name:
            raise ExpressionFailed(
                f"the field {field_name!r} refers to a part of a value; pass the part itself to the format"
            )
        key = int(field_name) if field_name.isdigit() else field_name
        return self.get_value(key, args, kwargs), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value in a narrow field."""
        for size in _NUMBER.findall(format_spec):
            _check_width(size)
        made = format(_shown(value, self._budget), format_spec)
        # One value may fill each field, so the lengths are counted before the text is made.
        self._length += len(made)
        if self._length > MAX_TEXT:
            self._budget.spend_text(self._length)
        return made

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        """Convert for `!s`; JSON values have no other form."""
        if conversion in (None, "s"):
            return value if conversion is None else text(value, self._budget)
        raise ExpressionFailed(f"!{conversion} isn't supported; leave it out")


def _filled(pattern: str, made: str, budget: Budget) -> str:
    # A message's number can be any character with %c.
    if not is_whole(made):
        raise ExpressionFailed(f"the format {pattern[:60]!r} gave half of a surrogate pair, which JSON can't represent")
    budget.spend_copy(len(made))
    return made


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else _LONGEST_NUMBER


def _check_width(size: str | None) -> None:
    if size and (len(size) > 3 or int(size) > _MAX_WIDTH):
        raise ExpressionLimit(f"a field in a format may be at most {_MAX_WIDTH} wide")


def _shown(value: Any, budget: Budget) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        # A Decimal is a number in a format, which `%d` and `.2f` accept.
        return value if hasattr(value, "quantize") else text(value, budget)
    return value
