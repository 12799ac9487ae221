"""The methods that expressions can call on JSON values: pure, with costs that are known before they run."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

from jinja2.runtime import LoopContext
from jinja2.utils import pass_context

from hookline.api import ExpressionFailed, ExpressionLimit
from hookline_mapping.budget import Budget
from hookline_mapping.expression_results import text
from hookline_mapping.jinja.format_strings import BraceFormat
from hookline_mapping.jinja.sandbox import BudgetedContext, Function, Missing, spend_comparing, spend_size

_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_MAX_STRIPPED: Final = 100
#: The largest product of the lengths of a text and a part for which Python's own search from the end is used.
_SHORT: Final = 1_000_000


def replace(budget: Budget, value: str, old: str, new: str, count: int = -1) -> str:
    """Return the text with `old` replaced; its length is checked before."""
    found = value.count(old)
    if count >= 0:
        found = min(found, count)
    budget.spend_copy(len(value) + max(0, found * (len(new) - len(old))))
    return value.replace(old, new, count)


def join(budget: Budget, separator: str, values: Any) -> str:
    """Return the values as texts, joined by the separator; the length is checked before."""
    spend_size(budget, values)
    parts = [each if type(each) is str else text(each, budget) for each in values]
    budget.spend_copy(sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1))
    return separator.join(parts)


def _pure(name: str) -> Callable[..., Any]:
    """Wrap a method that reads a text once, and whose result is about as long."""

    def run(budget: Budget, value: str, *args: Any) -> Any:
        budget.spend_text(len(value))
        return getattr(value, name)(*args)

    return run


def _stripping(name: str) -> Callable[..., Any]:
    def run(budget: Budget, value: str, characters: str | None = None) -> str:
        if characters is not None and len(characters) > _MAX_STRIPPED:
            raise ExpressionLimit(f"{name} takes at most {_MAX_STRIPPED} characters to strip")
        budget.spend_copy(len(value))
        made: str = getattr(value, name)(characters)
        return made

    return run


def _split(name: str) -> Callable[..., Any]:
    def run(budget: Budget, value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
        # One more piece than allowed is enough.
        bound = budget.turns + 1 if maxsplit < 0 else min(maxsplit, budget.turns + 1)
        made: list[str] = getattr(value, name)(sep, bound)
        budget.spend_turns(len(made))
        budget.spend_copy(len(value))
        return made

    return run


def _splitlines(budget: Budget, value: str, keepends: bool = False) -> list[str]:
    budget.spend_turns(sum(map(value.count, _LINE_ENDS)) + 1)
    budget.spend_copy(len(value))
    return value.splitlines(keepends)


def _format(budget: Budget, value: str, *args: Any, **kwargs: Any) -> str:
    return BraceFormat(budget).fill(value, args, kwargs)


def _sized(name: str) -> Callable[..., Any]:
    def run(budget: Budget, value: Any, *args: Any) -> Any:
        spend_comparing(budget, value)
        try:
            return getattr(value, name)(*args)
        except ValueError as error:
            raise ExpressionFailed(str(error)) from error

    return run


def _last(value: str, part: str, start: Any = None, end: Any = None) -> int:
    """Return the last position of a part in a text, or -1.

    Python's own search from the right takes time in proportion to the product of both lengths; from the left it
    doesn't.
    """
    if len(value) * len(part) <= _SHORT:
        return value.rfind(part, start, end)
    first, stop, _ = slice(start, end).indices(len(value))
    found = value[first:stop][::-1].find(part[::-1])
    return -1 if found < 0 else max(stop, first) - found - len(part)


def _rfind(budget: Budget, value: str, part: str, start: Any = None, end: Any = None) -> int:
    spend_size(budget, value)
    return _last(value, part, start, end)


def _rindex(budget: Budget, value: str, part: str, start: Any = None, end: Any = None) -> int:
    found = _rfind(budget, value, part, start, end)
    if found < 0:
        raise ExpressionFailed("substring not found")
    return found


def _rpartition(budget: Budget, value: str, part: str) -> tuple[str, str, str]:
    budget.spend_text(len(value))
    if not part:
        raise ExpressionFailed("empty separator")
    found = _last(value, part)
    return ("", "", value) if found < 0 else (value[:found], part, value[found + len(part) :])


def _rsplit(budget: Budget, value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    if not sep or len(value) * len(sep) <= _SHORT:
        made: list[str] = _native_rsplit(budget, value, sep, maxsplit)
        return made
    return [each[::-1] for each in reversed(_native_split(budget, value[::-1], sep[::-1], maxsplit))]


def _listing(name: str) -> Callable[..., Any]:
    def run(budget: Budget, value: Mapping[str, Any]) -> list[Any]:
        spend_size(budget, value)
        return list(getattr(value, name)())

    return run


def _cycle(budget: Budget, value: LoopContext, *choices: Any) -> Any:
    return value.cycle(*choices)


def _changed(budget: Budget, value: LoopContext, *values: Any) -> bool:
    for each in values:
        spend_size(budget, each)
    return value.changed(*values)


_native_split, _native_rsplit = _split("split"), _split("rsplit")
_SEARCHES: Final = ("count", "find", "index", "startswith", "endswith")
_CHANGES: Final = (
    *("upper", "lower", "title", "capitalize", "casefold", "swapcase", "removeprefix", "removesuffix"),
    "partition",
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper"),
)
TEXT: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _sized(name) for name in _SEARCHES},
    **{name: _pure(name) for name in _CHANGES},
    **{name: _stripping(name) for name in ("strip", "lstrip", "rstrip")},
    "rfind": _rfind,
    "rindex": _rindex,
    "rpartition": _rpartition,
    "split": _native_split,
    "rsplit": _rsplit,
    "splitlines": _splitlines,
    "replace": replace,
    "join": join,
    "format": _format,
}
LIST: Final[Mapping[str, Callable[..., Any]]] = {name: _sized(name) for name in ("count", "index")}
OBJECT: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _listing(name) for name in ("items", "keys", "values")},
    "get": lambda budget, value, key, default=None: value.get(key, default),
}
LOOP: Final[Mapping[str, Callable[..., Any]]] = {"cycle": _cycle, "changed": _changed}
NAMES: Final = frozenset({*TEXT, *LIST, *OBJECT, *LOOP})
_TABLES: Final[tuple[tuple[type | tuple[type, ...], Mapping[str, Callable[..., Any]], str], ...]] = (
    (str, TEXT, "text"),
    ((list, tuple), LIST, "a list"),
    (dict, OBJECT, "an object"),
    (LoopContext, LOOP, "loop"),
)


def _called(run: Callable[..., Any], value: Any, budget: Budget, *args: Any, **kwargs: Any) -> Any:
    return run(budget, value, *args, **kwargs)


@pass_context
def method(context: BudgetedContext, value: Any, name: str) -> Function:
    """Return a method of a value. For a missing value, it is one that returns the same missing value."""
    if isinstance(value, Missing):
        return Function(name, lambda budget, *args, **kwargs: value, lenient=True)
    for kind, table, shown in _TABLES:
        if isinstance(value, kind):
            run = table.get(name)
            if run is None:
                near = get_close_matches(name, table, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(table))}"
                raise ExpressionFailed(f"{shown} has no method {name!r} here{hint}")
            bound = partial(_called, run, value)
            return Function(name, bound, lenient=name == "get")
    raise ExpressionFailed(f"a {type(value).__name__} has no method {name!r} here")
